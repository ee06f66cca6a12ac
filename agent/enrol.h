/* enrol: buys a host's certificate with a one-time token and the platform's evidence (rest.md, POST /v1/enroll).
 * Used by `redoubt-agent enroll`. The key is made here and stays; the plane sees a request for it and evidence that
 * names it. Repeats only what cannot have used the token up. */
#ifndef AGENT_ENROL_H
#define AGENT_ENROL_H

/* `enroll --api URL --token T --state DIR …`; argv[0] is "enroll". Returns the exit status. */
int agent_enrol_main(int argc, char **argv);

#endif
