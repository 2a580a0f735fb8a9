// mailauth/finding.hpp: what a check of a message found, in the words of Authentication-Results.                         RFC 8601 2.2, 2.7
// DNS      checks ask by a function, so that who runs them says whose resolver it is, and how long it may take.
#pragma once

#include "async/async.hpp"
#include "dns/record.hpp"

#include <functional>
#include <string>
#include <vector>

namespace posthorn::mailauth {

/// Never an Error: a failed lookup is an Answer with its status.
using Ask = std::function<awaitable<dns::Answer>(std::string name, dns::Type type)>;

/// header.d=example.com: type "header", name "d". Values are as they were found; who writes them quotes them.
struct Property {
    std::string type, name, value;
    bool operator==(const Property&) const = default;
};

/// dkim=fail reason="body hash did not verify" header.d=example.com
struct Finding {
    std::string method, result, reason;
    std::vector<Property> properties;
    bool operator==(const Finding&) const = default;
};

}  // namespace posthorn::mailauth
