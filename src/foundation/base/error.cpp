#include "base/error.hpp"

#include <fmt/format.h>

#include <cstring>

namespace posthorn {

std::string Error::text() const
{
    std::string text = what_;
    if (!peer_.empty())
        text += " with " + peer_;
    if (!during_.empty())
        text += " while " + during_;
    return text;
}

std::string errno_text(int error_number)
{
    char buffer[128];
    return ::strerror_r(error_number, buffer, sizeof buffer);   // the GNU form, which returns the text
}

Error system_error(std::string_view what, int error_number) { return Error{fmt::format("{}: {}", what, errno_text(error_number))}; }

}  // namespace posthorn
