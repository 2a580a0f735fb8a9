// mailauth/public_suffixes.hpp: which domains belong to one organization.                                                   RFC 7489 3.2
// Source   the public suffix list of this machine (Debian: publicsuffix), or the one that libpsl was built with, whichever is newer; read when it is made,
//          so that a process does it before it is confined. The library appears in public_suffixes.cpp and nowhere else.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace posthorn::mailauth {

class PublicSuffixes {
public:
    /// Throws where there is no list at all.
    PublicSuffixes();
    PublicSuffixes(PublicSuffixes&&) = delete;
    ~PublicSuffixes();

    /// Of a name of A-labels, in lower case: "mail.example.co.uk" to "example.co.uk". What is a public suffix itself, or no name, is its own.
    std::string organizational_domain(std::string_view domain) const;

private:
    struct List;
    std::unique_ptr<List> list_;
};

}  // namespace posthorn::mailauth
