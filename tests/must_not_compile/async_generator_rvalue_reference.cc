#include "util/async_generator.h"

#ifdef MUST_NOT_COMPILE
using Answers = greenback::AsyncGenerator<int&&>;
#else
using Answers = greenback::AsyncGenerator<int&>;
#endif

Answers Pass(Answers answers) { return answers; }
