/* No threads in the guest: the engine's locks become nothing. Found before the system's header by -Ishim. */
#ifndef RD_SHIM_PTHREAD_H
#define RD_SHIM_PTHREAD_H

typedef int pthread_mutex_t;
typedef int pthread_cond_t;
#define PTHREAD_MUTEX_INITIALIZER         0
#define PTHREAD_COND_INITIALIZER          0
#define pthread_mutex_lock(m)             ((void)(m), 0)
#define pthread_mutex_unlock(m)           ((void)(m), 0)
#define pthread_cond_init(c, a)           ((void)(c), 0)
#define pthread_cond_destroy(c)           ((void)(c), 0)
#define pthread_cond_signal(c)            ((void)(c), 0)
#define pthread_cond_wait(c, m)           ((void)(c), 0)
#define pthread_cond_timedwait(c, m, t)   ((void)(c), (void)(t), 110)

#endif
