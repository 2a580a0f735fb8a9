#include "handoff/status_filter.hpp"

#include "base/strings.hpp"
#include "smtp/reply.hpp"

namespace posthorn::handoff {

Result<StatusText> replaced_by(std::string_view status, std::string_view result)
{
    const std::string_view code = smtp::enhanced_code(result);
    const std::string_view text = trim(result.substr(code.size()));
    if (code.empty())
        return Error(fmt::format("no status code in \"{}\"", printable(result)));
    if (text.empty())
        return Error(fmt::format("no text in \"{}\"", printable(result)));
    if ((code.front() == '2') != status.starts_with('2'))
        return Error(fmt::format("\"{}\" would turn {} into {}", printable(result), status.starts_with('2') ? "success" : "failure",
                                 code.front() == '2' ? "success" : "failure"));
    return StatusText(code, text);
}

}  // namespace posthorn::handoff
