#include "api/routes.h"

#define KIB         ((size_t)1 << 10)
#define MIB         ((size_t)1 << 20)
#define INLINE(fn)  API_ROUTE_INLINE, API_NEED_NONE, .loop = (fn)
#define WORK(n, fn) API_ROUTE_WORKER, API_NEED_##n, .worker = (fn)
#define LOOP(n, fn) API_ROUTE_LOOP, API_NEED_##n, .loop = (fn)
#define JSON(size)  .body_max = (size), .flags = API_BODY_JSON
#define MAYBE_JSON  .body_max = 64 * KIB, .flags = API_BODY_JSON | API_BODY_OPTIONAL
#define BYTES(size) .body_max = (size), .flags = API_BODY_BYTES

const api_route api_routes[] = {
    { "GET", "/livez", INLINE(api_livez), .flags = API_OPS },
    { "GET", "/readyz", WORK(NONE, api_readyz), .flags = API_OPS },
    { "GET", "/metrics", INLINE(api_metrics_get), .flags = API_OPS },
    { "GET", "/v1/version", INLINE(api_version_get), .flags = API_OPS },
    { "GET", "/v1/openapi.json", INLINE(api_openapi_get), .flags = API_OPS },
    { "GET", "/v1/collateral", INLINE(api_collateral_document), .flags = API_OPS },
    { "GET", "/v1/collateral/status", WORK(NONE, api_collateral_status), .flags = API_LOGIN },
    { "PUT", "/v1/collateral", WORK(OPERATOR, api_collateral_put), JSON(MIB) },
    { "POST", "/v1/collateral/refresh", WORK(OPERATOR, api_collateral_refresh), MAYBE_JSON },
    { "POST", "/v1/collateral/forecast", WORK(OPERATOR, api_collateral_forecast), JSON(MIB) },
    { "GET", "/problems", INLINE(api_problems_get), .flags = API_OPS },
    { "GET", "/problems/{code}", INLINE(api_problems_get), .flags = API_OPS },

    { "POST", "/v1/login", WORK(NONE, api_login), .body_max = 4 * KIB, .flags = API_BODY_JSON | API_LOGIN },
    { "POST", "/v1/logout", WORK(ANY, api_logout), MAYBE_JSON },
    { "GET", "/v1/session", WORK(ANY, api_session_get) },
    { "POST", "/v1/login-links", WORK(OWNER, api_login_links_create), MAYBE_JSON },
    { "POST", "/v1/tokens", WORK(OWNER, api_tokens_create), JSON(4 * KIB) },
    { "GET", "/v1/tokens", WORK(OWNER, api_tokens_list) },
    { "DELETE", "/v1/tokens/{token}", WORK(OWNER, api_tokens_revoke), .flags = API_IF_MATCH },
    { "POST", "/v1/tokens/{token}/rotate", WORK(ANY, api_tokens_rotate), MAYBE_JSON },
    { "GET", "/v1/audit", WORK(AUDITOR, api_audit_list) },

    { "POST", "/v1/apps", WORK(DEVELOPER, api_apps_create), JSON(64 * KIB) },
    { "GET", "/v1/apps", WORK(VIEWER, api_apps_list) },
    { "GET", "/v1/apps/{app}", WORK(VIEWER, api_apps_get) },
    { "PATCH", "/v1/apps/{app}", WORK(DEVELOPER, api_apps_patch), .body_max = 64 * KIB,
      .flags = API_BODY_JSON | API_IF_MATCH },
    { "DELETE", "/v1/apps/{app}", WORK(DEVELOPER, api_apps_delete), .flags = API_IF_MATCH },
    { "GET", "/v1/apps/{app}/genesis", WORK(VIEWER, api_apps_genesis) },
    { "POST", "/v1/apps/{app}/releases", WORK(DEVELOPER, api_releases_create), JSON(128 * KIB) },
    { "GET", "/v1/apps/{app}/releases", WORK(VIEWER, api_releases_list) },
    { "GET", "/v1/apps/{app}/releases/{digest}", WORK(VIEWER, api_releases_get) },
    { "POST", "/v1/apps/{app}/heads", WORK(DEVELOPER, api_heads_create), JSON(128 * KIB) },
    { "GET", "/v1/apps/{app}/heads", WORK(VIEWER, api_heads_list) },
    { "GET", "/v1/apps/{app}/heads/current", WORK(VIEWER, api_heads_current) },
    { "GET", "/v1/apps/{app}/secrets", WORK(VIEWER, api_secrets_list) },
    { "PUT", "/v1/apps/{app}/secrets/{name}/{version}", WORK(DEVELOPER, api_secrets_put), BYTES(40 * KIB) },
    { "GET", "/v1/apps/{app}/secrets/{name}/{version}", WORK(DEVELOPER, api_secrets_get) },
    { "DELETE", "/v1/apps/{app}/secrets/{name}", WORK(DEVELOPER, api_secrets_delete) },
    { "GET", "/v1/kms", WORK(VIEWER, api_kms_list) },
    { "GET", "/v1/kms/{kms}", WORK(VIEWER, api_kms_get) },
    { "GET", "/v1/kms/{kms}/evidence", LOOP(VIEWER, api_kms_evidence) },
    { "GET", "/v1/kms/{kms}/seal-key", LOOP(VIEWER, api_kms_seal_key) },
    { "POST", "/v1/kms/{kms}/admit", LOOP(OPERATOR, api_kms_admit), BYTES(4 * KIB) },
    { "POST", "/v1/kms/{kms}/root", LOOP(OPERATOR, api_kms_root), BYTES(64 * KIB) },
    { "PUT", "/v1/blobs/{digest}", WORK(DEVELOPER, api_blobs_put), BYTES(8 * MIB) },
    { "GET", "/v1/blobs/{digest}", WORK(VIEWER, api_blobs_get) },

    { "POST", "/v1/apps/{app}/deployments", WORK(DEVELOPER, api_deployments_create), JSON(64 * KIB) },
    { "GET", "/v1/apps/{app}/deployments", WORK(VIEWER, api_deployments_list) },
    { "GET", "/v1/deployments/{dep}", WORK(VIEWER, api_deployments_get) },
    { "GET", "/v1/deployments/{dep}/wait", LOOP(VIEWER, api_deployment_wait) },
    { "GET", "/v1/apps/{app}/instances", WORK(VIEWER, api_instances_list) },
    { "GET", "/v1/instances/{ins}", WORK(VIEWER, api_instances_get) },
    { "GET", "/v1/instances/{ins}/evidence", LOOP(VIEWER, api_instance_evidence) },
    { "GET", "/v1/instances/{ins}/docs", LOOP(VIEWER, api_instance_docs) },
    { "POST", "/v1/apps/{app}/invoke", LOOP(DEVELOPER, api_invoke), BYTES(16 * MIB) },
    { "POST", "/v1/apps/{app}/sealed", LOOP(DEVELOPER, api_sealed), BYTES(17 * MIB) },
    { "POST", "/v1/evidence/verify", WORK(VIEWER, api_evidence_verify), .body_max = 2 * MIB,
      .flags = API_BODY_JSON | API_SAFE_POST },
    { "GET", "/v1/evidence/by-digest/{digest}", WORK(VIEWER, api_evidence_by_digest) },
    { "GET", "/v1/apps/{app}/records", WORK(VIEWER, api_records_list) },
    { "GET", "/v1/apps/{app}/grants", WORK(VIEWER, api_grants_list) },
    { "GET", "/v1/records/{digest}", WORK(VIEWER, api_records_get) },
    { "GET", "/v1/apps/{app}/receipts", WORK(VIEWER, api_receipts_list) },
    { "GET", "/v1/instances/{ins}/receipts", WORK(VIEWER, api_receipts_chain) },
    { "GET", "/v1/events", LOOP(VIEWER, api_events) },
    { "GET", "/v1/apps/{app}/logs", LOOP(DEVELOPER, api_logs) },

    { "GET", "/v1/hosts", WORK(VIEWER, api_hosts_list) },
    { "GET", "/v1/hosts/{host}", WORK(VIEWER, api_hosts_get) },
    { "POST", "/v1/hosts/{host}/drain", WORK(OPERATOR, api_hosts_drain), MAYBE_JSON },
    { "POST", "/v1/hosts/{host}/cordon", WORK(OPERATOR, api_hosts_cordon), MAYBE_JSON },
    { "POST", "/v1/hosts/{host}/undrain", WORK(OPERATOR, api_hosts_undrain), MAYBE_JSON },
    { "POST", "/v1/hosts/{host}/release", WORK(OPERATOR, api_hosts_release), MAYBE_JSON },
    { "DELETE", "/v1/hosts/{host}", WORK(OPERATOR, api_hosts_revoke), .flags = API_IF_MATCH },
    { "POST", "/v1/enrol-tokens", WORK(OPERATOR, api_enrol_tokens_create), MAYBE_JSON },
    { "POST", "/v1/enroll", WORK(NONE, api_enroll), .body_max = 256 * KIB, .flags = API_BODY_JSON | API_LOGIN },

    { "POST", "/v1/prepared", WORK(DEVELOPER, api_prepared_create), JSON(7 * MIB) },
    { "GET", "/v1/prepared/{code}", WORK(DEVELOPER, api_prepared_get) },
    { "POST", "/v1/prepared/{code}/done", WORK(DEVELOPER, api_prepared_done), JSON(16 * KIB) },

    { "GET", "/", INLINE(api_static_get), .flags = API_PAGE },
    { "GET", "/{path*}", INLINE(api_static_get), .flags = API_PAGE },
};
const size_t api_route_count = RD_ARRAY_LEN(api_routes);
