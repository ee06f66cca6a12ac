-- owner module: api/collateral, api/refresh; writers: rd_api (through collateral_refreshed, collateral_refresh_now)
-- The plane fetches its collateral itself; and marks that 0011 set too low are raised.
SET LOCAL ROLE rd_owner;

-- 0011 gave TCB info and identity of an old set the lower of their two numbers, and no date. Each piece's own are in the
-- document; whose root it is says the root beside them, or the last certificate of the PCK list's issuers. A mark that
-- has gone up since stays.
UPDATE collateral_marks m SET highest = n.highest
FROM (
    SELECT p.mark, max(ARRAY[(p.body ->> 'tcbEvaluationDataNumber')::bigint,
                             (extract(epoch FROM (p.body ->> 'issueDate')::timestamptz) * 1000000)::bigint]) AS highest
    FROM (
        SELECT convert_from(s.document, 'UTF8')::jsonb AS document FROM collateral_sets s
    ) s CROSS JOIN LATERAL (
        SELECT (s.document ->> 'tcb_info')::jsonb -> 'tcbInfo' AS info,
               (s.document ->> 'qe_identity')::jsonb -> 'enclaveIdentity' AS identity,
               coalesce(nullif(s.document ->> 'root', ''), s.document ->> 'pck_crl_chain') AS pem
    ) d CROSS JOIN LATERAL (
        SELECT encode(sha256(decode(substring(d.pem FROM '.*-----BEGIN CERTIFICATE-----([^-]*)-----END'), 'base64')),
                      'hex') AS root
    ) r CROSS JOIN LATERAL (VALUES
        ('tcb_info/' || r.root || '/' || lower(coalesce(d.info ->> 'id', 'SGX')) || '/' || lower(d.info ->> 'fmspc'), d.info),
        ('qe_identity/' || r.root || '/' || CASE d.identity ->> 'id' WHEN 'TD_QE' THEN 'tdx' ELSE 'sgx' END, d.identity)
    ) AS p (mark, body)
    WHERE s.document ->> 'type' = 'redoubt/collateral/v1'
    GROUP BY p.mark
) n
WHERE m.mark = n.mark AND m.highest < n.highest;

-- What lets the next fetch ask whether it is still this (fetch/validators.h), whichever replica makes it.
ALTER TABLE collateral_refresh
    ADD COLUMN validators text NOT NULL DEFAULT '' CHECK (octet_length(validators) <= 262144);
REVOKE INSERT, UPDATE ON collateral_refresh FROM rd_api;
GRANT SELECT, INSERT, UPDATE ON collateral_refresh TO rd_definer;

-- How one fetch went; the caller holds the advisory lock 'collateral_refresh'. p_code is empty when all of it went well.
-- Every replica hears of it, and when the next is due, through the event log.
CREATE FUNCTION collateral_refreshed(p_delay_us bigint, p_code text, p_detail text, p_source text, p_validators text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
    is_good boolean := p_code = '';
BEGIN
    INSERT INTO collateral_refresh AS r (tried_at, succeeded_at, next_at, failures, code, detail, source, validators)
    VALUES (now_at, CASE WHEN is_good THEN now_at END, now_at + p_delay_us * interval '1 microsecond',
            CASE WHEN is_good THEN 0 ELSE 1 END, p_code, left(p_detail, 1024), left(p_source, 256), p_validators)
    ON CONFLICT (only_row) DO UPDATE SET
        tried_at = EXCLUDED.tried_at, succeeded_at = coalesce(EXCLUDED.succeeded_at, r.succeeded_at),
        next_at = EXCLUDED.next_at, failures = CASE WHEN is_good THEN 0 ELSE least(r.failures, 999999) + 1 END,
        code = EXCLUDED.code, detail = EXCLUDED.detail, source = EXCLUDED.source, validators = EXCLUDED.validators;
    INSERT INTO events (kind, subject, body) VALUES ('plane', 'collateral', jsonb_build_object('refresh', p_code));
END $$;
ALTER FUNCTION collateral_refreshed(bigint, text, text, text, text) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION collateral_refreshed(bigint, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collateral_refreshed(bigint, text, text, text, text) TO rd_api;

-- An operator's word: the next fetch is due now. Without a row it is due anyway.
CREATE FUNCTION collateral_refresh_now() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE collateral_refresh SET next_at = clock_timestamp();
    INSERT INTO events (kind, subject, body) VALUES ('plane', 'collateral', jsonb_build_object('refresh', 'now'));
END $$;
ALTER FUNCTION collateral_refresh_now() OWNER TO rd_definer;
REVOKE ALL ON FUNCTION collateral_refresh_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collateral_refresh_now() TO rd_api;
