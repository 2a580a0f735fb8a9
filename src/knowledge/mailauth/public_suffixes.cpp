#include "mailauth/public_suffixes.hpp"

#include "base/strings.hpp"

#include <libpsl.h>

#include <stdexcept>

namespace posthorn::mailauth {

struct PublicSuffixes::List {
    struct Free {
        void operator()(psl_ctx_t* list) const { psl_free(list); }         // which leaves the built-in one alone
    };
    std::unique_ptr<psl_ctx_t, Free> names{psl_latest(nullptr)};
};

PublicSuffixes::PublicSuffixes() : list_(std::make_unique<List>())
{
    if (!list_->names)
        throw std::runtime_error("there is no public suffix list");
}

PublicSuffixes::~PublicSuffixes() = default;

std::string PublicSuffixes::organizational_domain(std::string_view domain) const
{
    std::string name = to_lower(domain.ends_with('.') ? domain.substr(0, domain.size() - 1) : domain);
    if (name.find('\0') != name.npos)
        return name;
    const char* const found = psl_registrable_domain(list_->names.get(), name.c_str());
    return found == nullptr ? name : std::string(found);
}

}  // namespace posthorn::mailauth
