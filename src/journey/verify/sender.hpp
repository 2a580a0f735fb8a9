// verify/sender.hpp: the sender of probes.                                address_verify_sender, address_verify_sender_ttl
// Shape    a fixed address; or, where it has a time to live, local part + number of the time slot + "@domain", so that who harvested it
//          cannot use it for long. The number is in base 31: digits and consonants, no separator.
// Ours     the present slot, the one before and the one after are known again: clocks differ, and a slot may end under way.
#pragma once

#include "base/clock.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::verify {

class ProbeSender {
public:
    /// `address`: complete; empty: the null reverse-path. `life` 0: it does not change.
    explicit ProbeSender(std::string address = {}, std::chrono::seconds life = {});

    std::string at(WallTime now) const;
    /// The form without time, where `address` is ours now.
    std::optional<std::string> plain(std::string_view address, WallTime now) const;

private:
    bool timed() const { return life_.count() > 0 && !local_.empty(); }

    std::string local_, domain_;          // domain with "@"
    std::chrono::seconds life_;
};

}  // namespace posthorn::verify
