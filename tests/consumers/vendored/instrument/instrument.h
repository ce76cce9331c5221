#ifndef INSTRUMENT_INSTRUMENT_H_
#define INSTRUMENT_INSTRUMENT_H_

namespace instrument {

void Count();
int Counted();

}  // namespace instrument

#endif  // INSTRUMENT_INSTRUMENT_H_
