// milter/changes.hpp: what a filter wants of the envelope. For whoever has the envelope to do it.
// Shape    addresses and ESMTP arguments as the filter wrote them ("<user@example.test>", "NOTIFY=NEVER ORCPT=rfc822;a@b"), without control
//          characters. In the order they were asked for.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace posthorn::milter {

struct EnvelopeChange {
    enum class Kind : std::uint8_t { sender, add_recipient, delete_recipient };
    EnvelopeChange(Kind what, std::string whom, std::string with) : kind(what), address(std::move(whom)), arguments(std::move(with)) {}
    Kind kind;
    std::string address, arguments;
};

}  // namespace posthorn::milter
