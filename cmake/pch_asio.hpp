// One 30-line file with Asio takes 6 s to compile; with this header, 1.
#include "pch.hpp"

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
