// config/reading.hpp: which parameters a stretch of work asked for.
// Use      a process that takes another configuration in place has to ask again for all that it asked for at its start; what it does not
//          ask again, it would go on with as it was (process/service.cpp).
// Shape    names as given to Snapshot::get(), text() and as_written(); not those that a value refers to in turn.
// Threads  this thread's; scopes nest, and each name is the innermost one's.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace posthorn::config {

class Reading {
public:
    Reading();
    ~Reading();
    Reading(Reading&&) = delete;
    const std::set<std::string, std::less<>>& names() const { return names_; }

private:
    friend class Snapshot;
    static void note(std::string_view name);
    std::set<std::string, std::less<>> names_;
    Reading* outer_;
};

}  // namespace posthorn::config
