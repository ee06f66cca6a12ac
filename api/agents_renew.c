#include "api/agents_private.h"

#include "common/crypto/x509_issue.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- certificate: when less than half of its term is left ---- */

static void renewal_ended(api_host_link *host, const rd_err *err)
{
    if (err)
        rd_log(RD_WARN, "renewal_failed", RD_STR("host", host->name), RD_ERR(err));
    api_host_release(host);
}

static void on_installed(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    api_host_link *host = context;
    rd_err err = RD_ERR_INIT;
    if (!error && status != 204)
        error = (rd_err_set(&err, RD_E_LINK_PROTOCOL, "certificate answered with status %d", status), &err);
    if (!error) {
        host->agents->renewed++;
        rd_log(RD_INFO, "certificate_renewed", RD_STR("host", host->name));
    }
    renewal_ended(host, error);
}

static int issue(api_host_link *host, rd_bytes csr_pem, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf certificate = { 0 };
    uint8_t spki[32];
    int64_t expires_us;
    if (api_plane_issue_host(host->agents->options.plane, host->name, csr_pem, api_agents_wall_us(host->agents),
                             &certificate, spki, &expires_us, err) < 0)
        return -1;
    /* Another key is another enrolment: host_identity names the one that may attach. */
    if (memcmp(spki, host->spki, sizeof spki) != 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "the request is for another key than the link's");
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_bytes ca = api_plane_ca_pem(host->agents->options.plane);
    rd_json_set_str(object, "certificate", rd_buf_text(&certificate));
    rd_json_set(object, "ca", json_stringn((const char *)ca.data, ca.size));
    return rd_json_dump(object, out) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "certificate");
}

static int answer_csr(api_host_link *host, int status, rd_bytes body, rd_err *err)
{
    if (status != 200)
        return rd_err_set(err, RD_E_LINK_PROTOCOL, "request answered with status %d", status);
    RD_CLEANUP(rd_free_p) char *csr = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    if (api_csr_read(body, &csr, err) < 0 || issue(host, rd_bytes_str(csr), &out, err) < 0)
        return -1;
    rd_link_request request = { .method = "PUT", .path = "/renewal/certificate", .body = rd_buf_bytes(&out) };
    return rd_link_send(host->link, &request, on_installed, host, err);
}

static void on_csr(void *context, int status, rd_bytes body, const rd_err *error)
{
    api_host_link *host = context;
    rd_err err = RD_ERR_INIT;
    if (error || !host->link)
        renewal_ended(host, error);
    else if (answer_csr(host, status, body, &err) < 0)
        renewal_ended(host, &err);
}

void api_renew_second(api_host_link *host)
{
    int64_t now_us = api_agents_wall_us(host->agents);
    int64_t half_us = host->cert_begin_us + (host->cert_end_us - host->cert_begin_us) / 2;
    if (host->is_renewing || now_us < half_us)
        return;
    rd_link_request request = { .method = "POST", .path = "/renewal/csr" };
    rd_err err = RD_ERR_INIT;
    if (rd_link_send(host->link, &request, on_csr, host, &err) < 0)
        return;
    host->is_renewing = true; /* once a link: the new certificate is shown at the next dial */
    api_host_hold(host);
}

/* ---- logs: lossy, never acknowledged ---- */

static bool on_line(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    api_host_link *host = context;
    api_log_words line = { 0 };
    rd_err err = RD_ERR_INIT;
    if (api_log_words_read(bytes, &line, &err) == 0 && line.has_instance) {
        /* Only of leases that this host has: a host speaks for nobody else's app. */
        const api_host_lease *lease = api_host_lease_of(host, &line.instance, line.epoch);
        api_log_line log = { .instance = line.instance,
                             .epoch = line.epoch,
                             .level = line.level ? line.level : "info",
                             .text = line.text ? line.text : "",
                             .at_us = line.at_us,
                             .dropped = line.dropped };
        if (lease) {
            log.app = lease->app;
            memcpy(log.org, lease->org, sizeof log.org);
            host->agents->options.on_log(host->agents->options.context, &log);
        }
    }
    api_log_words_done(&line);
    return true;
}

static void on_closed(void *context, const rd_err *error)
{
    (void)error;
    api_host_link *host = context;
    host->logs = NULL;
    api_host_release(host);
}

static const rd_link_line_events stream_events = { on_line, on_closed };

void api_logs_begin(api_host_link *host)
{
    rd_err err = RD_ERR_INIT;
    if (!host->link || rd_link_lines(host->link, "/logs", &stream_events, host, &host->logs, &err) < 0)
        return; /* a host without logs still works */
    api_host_hold(host);
}
