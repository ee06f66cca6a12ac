/* host_fault: whose fault it is when evidence is refused, and how many of a host's own lead to its quarantine.
 * Used by the links and by ingest; the counting and the mark stand in the schema (host_fault(), 0012-quarantine.sql).
 * Counts nothing that an application's owner, its policy or the plane's own collateral could bring about. */
#ifndef API_HOST_FAULT_H
#define API_HOST_FAULT_H

#include "common/base/err.h"

/* Within an hour: evidence that is forged, replayed, broken, or missing where serving was claimed. */
#define API_HOST_FAULTS_MAX 3

typedef enum api_fault {
    API_FAULT_POLICY, /* genuine, but this app does not accept it; or too late */
    API_FAULT_PLANE,  /* the plane cannot judge now: its collateral ended, or there is none */
    API_FAULT_HOST
} api_fault;

api_fault api_fault_of(rd_code code);

#endif
