/* kms_judge: the process of a key service that says whether the other side of a join is who it must be. Used by main.
 * It reads JSON, certificates and quotes, so that the root, which asks it, reads none; it meets no other outside bytes
 * than the one message of a join, and holds nothing. The front is not believed in this: it may be anybody's. */
#ifndef KMS_JUDGE_H
#define KMS_JUDGE_H

/* Answers KMS_OP_JUDGE on the channel until the root is gone. Returns the exit status. */
int kms_judge_run(int channel_fd);

#endif
