#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>

#include "greenback/await.h"
#ifndef MUST_NOT_COMPILE
#include "greenback/asio/operation.h"
#endif

void Wait(boost::asio::steady_timer& timer) {
  greenback::Await(timer.async_wait(boost::asio::deferred));
}
