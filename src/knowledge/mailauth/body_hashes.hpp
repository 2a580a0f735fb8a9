// mailauth/body_hashes.hpp: the hashes of one body that its signatures ask for, each form and length once.                RFC 6376 3.7
// Memory   a piece of body for each; held() says how much that is.
#pragma once

#include "mailauth/canonical.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

class BodyHashes {
public:
    struct One {
        One(Canonical form, std::optional<std::uint64_t> octets) : how(form), most(octets), hash(form, octets) {}
        Canonical how;
        std::optional<std::uint64_t> most;          // l=
        BodyHash hash;
        std::string value;                          // after finish()
    };

    /// Stays where it is. None: `limit` others are wanted.
    const One* want(Canonical how, std::optional<std::uint64_t> most, std::size_t limit = SIZE_MAX);
    void add(std::string_view body);
    /// Once.
    void finish();
    std::size_t held() const;

private:
    std::vector<std::unique_ptr<One>> all_;
};

}  // namespace posthorn::mailauth
