// handoff/notify_classes.hpp: what the postmaster is told of (notify_classes).                                          postconf(5)
// Errors   a word that is none of them: it and the whole value are named.
#pragma once

#include "base/error.hpp"

#include <string_view>

namespace posthorn::handoff {

struct NotifyClasses {
    static Result<NotifyClasses> parse(std::string_view words);
    /// What both have.
    NotifyClasses with(const NotifyClasses& others) const;
    /// What either has.
    NotifyClasses and_also(const NotifyClasses& others) const;
    bool sessions() const { return bounce || data || policy || protocol || resource || software; }
    bool any() const { return bounce || double_bounce || data || delay || policy || protocol || resource || software; }

    bool bounce = false, double_bounce = false, delay = false;                     // mail that comes back, or waits
    bool policy = false, protocol = false;                                         // sessions: a client was refused, or did not follow the rules
    bool data = false, resource = false, software = false;                         // sessions: a table, the disk, the configuration failed
};

}  // namespace posthorn::handoff
