#include "config/idna.hpp"

#include <atomic>

namespace posthorn::config {

namespace {

std::atomic<bool> as_idna2003{false};                          // helper threads convert names, too

}  // namespace

void convert_as_idna2003(bool yes) { as_idna2003 = yes; }

bool converts_as_idna2003() { return as_idna2003; }

}  // namespace posthorn::config
