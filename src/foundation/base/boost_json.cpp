// Boost.JSON, which is header-only until one source has its definitions: for whoever reads JSON or writes much of it.
#include <boost/json/src.hpp>
