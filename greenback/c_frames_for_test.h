/* A library in C that calls its user back, for c_frames_test.cc. */
#ifndef GREENBACK_C_FRAMES_FOR_TEST_H_
#define GREENBACK_C_FRAMES_FOR_TEST_H_

#ifdef __cplusplus
extern "C" {
#endif

struct CSession {
  int locked;     /* 1 during a call */
  int cleaned_up; /* the number of calls that have ended by returning */
};

/* Calls callback(argument, row) for rows 0 to `rows` - 1, until one of them
   does not return 0. Returns what the last call returned. */
int CVisit(struct CSession* session, int rows, int (*callback)(void*, int),
           void* argument);

#ifdef __cplusplus
}
#endif

#endif /* GREENBACK_C_FRAMES_FOR_TEST_H_ */
