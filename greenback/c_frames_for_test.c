#include "greenback/c_frames_for_test.h"

int CVisit(struct CSession* session, int rows, int (*callback)(void*, int),
           void* argument) {
  int result = 0;
  int row;
  session->locked = 1;
  for (row = 0; row < rows && result == 0; ++row) {
    result = callback(argument, row);
  }
  session->locked = 0;
  ++session->cleaned_up;
  return result;
}
