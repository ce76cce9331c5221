/* A library that is written in C and calls back, for c_frames_test.cc. */
#ifndef GREENBACK_C_FRAMES_FOR_TEST_H_
#define GREENBACK_C_FRAMES_FOR_TEST_H_

#ifdef __cplusplus
extern "C" {
#endif

struct CSession {
  int locked;     /* while a call is under way */
  int cleaned_up; /* how many calls have come to their end */
};

/* Calls callback(argument, row) for rows 0 to `rows` - 1, until one returns
   something else than 0, and returns that. */
int CVisit(struct CSession* session, int rows, int (*callback)(void*, int),
           void* argument);

#ifdef __cplusplus
}
#endif

#endif /* GREENBACK_C_FRAMES_FOR_TEST_H_ */
