// GREENBACK_ASIO_NEWEST_BOOST: the newest Boost with which all of
// //greenback/asio has been tested. To try a newer one, define it as the
// BOOST_VERSION of that.
#ifndef GREENBACK_ASIO_INTERNAL_NEWEST_BOOST_H_
#define GREENBACK_ASIO_INTERNAL_NEWEST_BOOST_H_

#include <boost/version.hpp>

#if !defined(GREENBACK_ASIO_NEWEST_BOOST)
#define GREENBACK_ASIO_NEWEST_BOOST 109200
#endif

// Not the number of the patch, which is the last two digits.
#define GREENBACK_ASIO_BOOST_IS_TESTED \
  (BOOST_VERSION / 100 <= (GREENBACK_ASIO_NEWEST_BOOST) / 100)

#endif  // GREENBACK_ASIO_INTERNAL_NEWEST_BOOST_H_
