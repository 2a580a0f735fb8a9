#include "dns/idna.hpp"

#include "base/strings.hpp"
#include "config/idna.hpp"

#include <idn2.h>

#include <memory>

namespace posthorn::dns {

namespace {

struct Free {
    void operator()(char* text) const { idn2_free(text); }
};

}  // namespace

Result<std::string> to_a_labels(std::string_view domain)
{
    if (is_ascii(domain))
        return std::string(domain);
    if (!is_valid_utf8(domain) || domain.size() > 1024 || domain.find('\0') != domain.npos)
        return Error{"domain name is not valid UTF-8", "5.1.2"};
    char* raw = nullptr;
    const int status = idn2_to_ascii_8z(std::string(domain).c_str(), &raw,
                                        IDN2_NFC_INPUT | (config::converts_as_idna2003() ? IDN2_TRANSITIONAL : IDN2_NONTRANSITIONAL));
    const std::unique_ptr<char, Free> text(raw);
    if (status != IDN2_OK)
        return Error{std::string("domain name cannot be encoded: ") + idn2_strerror(status), "5.1.2"};
    return std::string(text.get());
}

std::string to_u_labels(std::string_view domain)
{
    if (domain.size() > 1024 || domain.find('\0') != domain.npos)
        return std::string(domain);
    char* raw = nullptr;
    const int status = idn2_to_unicode_8z8z(std::string(domain).c_str(), &raw, 0);
    const std::unique_ptr<char, Free> text(raw);
    return status == IDN2_OK ? std::string(text.get()) : std::string(domain);
}

}  // namespace posthorn::dns
