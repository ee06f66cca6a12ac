/* routes: the one table of the REST listener, and every handler it names.
 * Used by main (the table) and by the files that own handlers.
 * A handler not listed here does not exist for callers. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/request.h"
#include "api/router.h"
#include "api/worker.h"
#include "common/model/json.h"

extern const api_route api_routes[];
extern const size_t api_route_count;

/* Loop routes of the link side: routes_invoke.c, routes_sealed.c, routes_kms.c. */
void api_invoke(struct api_request *request);            /* POST /v1/apps/{app}/invoke */
void api_sealed(struct api_request *request);            /* POST /v1/apps/{app}/sealed */
void api_events(struct api_request *request);            /* GET /v1/events */
void api_logs(struct api_request *request);              /* GET /v1/apps/{app}/logs */
void api_instance_evidence(struct api_request *request); /* GET /v1/instances/{ins}/evidence */
void api_instance_docs(struct api_request *request);     /* GET /v1/instances/{ins}/docs */
void api_kms_evidence(struct api_request *request);      /* GET /v1/kms/{kms}/evidence */
void api_kms_seal_key(struct api_request *request);      /* GET /v1/kms/{kms}/seal-key */
void api_kms_admit(struct api_request *request);         /* POST /v1/kms/{kms}/admit */
void api_kms_root(struct api_request *request);          /* POST /v1/kms/{kms}/root */

/* routes_system.c, static.c: inline. */
void api_livez(struct api_request *request);
void api_metrics_get(struct api_request *request);
void api_version_get(struct api_request *request);
void api_openapi_get(struct api_request *request);
void api_collateral_document(struct api_request *request); /* routes_collateral.c */
void api_problems_get(struct api_request *request);
void api_static_get(struct api_request *request);

#define API_HANDLER(name) int name(struct api_request *request, struct api_worker *worker, rd_err *err) RD_NODISCARD
API_HANDLER(api_readyz);
/* routes_orgs.c */
API_HANDLER(api_login);
API_HANDLER(api_logout);
API_HANDLER(api_session_get);
API_HANDLER(api_login_links_create);
API_HANDLER(api_tokens_create);
API_HANDLER(api_tokens_list);
API_HANDLER(api_tokens_revoke);
API_HANDLER(api_tokens_rotate);
API_HANDLER(api_audit_list);
/* routes_evidence.c */
API_HANDLER(api_evidence_verify);
API_HANDLER(api_evidence_by_digest);
API_HANDLER(api_records_list);
API_HANDLER(api_grants_list);
API_HANDLER(api_records_get);
/* routes_receipts.c */
API_HANDLER(api_receipts_list);
API_HANDLER(api_receipts_chain);
/* routes_apps.c */
API_HANDLER(api_apps_create);
API_HANDLER(api_apps_list);
API_HANDLER(api_apps_get);
API_HANDLER(api_apps_patch);
API_HANDLER(api_apps_delete);
API_HANDLER(api_apps_genesis);
/* routes_releases.c */
API_HANDLER(api_releases_create);
API_HANDLER(api_releases_list);
API_HANDLER(api_releases_get);
API_HANDLER(api_heads_create);
API_HANDLER(api_heads_list);
API_HANDLER(api_heads_current);
/* routes_secrets.c */
API_HANDLER(api_secrets_put);
API_HANDLER(api_secrets_list);
API_HANDLER(api_secrets_get);
API_HANDLER(api_secrets_delete);
API_HANDLER(api_kms_list);
API_HANDLER(api_kms_get);
/* routes_blobs.c */
API_HANDLER(api_blobs_put);
API_HANDLER(api_blobs_get);
/* routes_deployments.c */
API_HANDLER(api_deployments_create);
API_HANDLER(api_deployments_list);
API_HANDLER(api_deployments_get);
/* The resource that GET /v1/deployments/{dep} answers, and its version; NOT_FOUND. *ret is the caller's. */
int api_deployment_read(struct api_worker *worker, const uint8_t org[16], const rd_id *id, json_t **ret,
                        int64_t *ret_version, rd_err *err) RD_NODISCARD;
void api_deployment_wait(struct api_request *request); /* deployment_wait.c: GET /v1/deployments/{dep}/wait */
API_HANDLER(api_instances_list);
API_HANDLER(api_instances_get);
/* routes_hosts.c, routes_enrol.c */
API_HANDLER(api_hosts_list);
API_HANDLER(api_hosts_get);
API_HANDLER(api_hosts_drain);
API_HANDLER(api_hosts_cordon);
API_HANDLER(api_hosts_undrain);
API_HANDLER(api_hosts_release);
API_HANDLER(api_hosts_revoke);
API_HANDLER(api_enrol_tokens_create);
API_HANDLER(api_enroll);
/* routes_collateral.c */
API_HANDLER(api_collateral_status);
API_HANDLER(api_collateral_put);
API_HANDLER(api_collateral_refresh);
API_HANDLER(api_collateral_forecast);
/* routes_prepared.c */
API_HANDLER(api_prepared_create);
API_HANDLER(api_prepared_get);
API_HANDLER(api_prepared_done);

#endif
