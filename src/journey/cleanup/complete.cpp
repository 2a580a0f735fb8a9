#include "cleanup/chain.hpp"

#include "base/strings.hpp"

namespace posthorn::cleanup {

std::optional<smtp::Mailbox> complete_mailbox(const smtp::Mailbox& mailbox, const Completion& completion)
{
    if (mailbox.null() || mailbox.local.empty() || completion.origin.empty())
        return std::nullopt;
    if (mailbox.domain.find('.') != std::string::npos && !mailbox.domain.ends_with('.'))
        return std::nullopt;                                     // as nearly every address is
    smtp::Mailbox whole = mailbox;
    if (whole.domain.empty()) {
        const std::size_t bang = completion.swap_bangpath ? whole.local.find('!') : std::string::npos;
        const std::size_t percent = completion.percent_hack ? whole.local.rfind('%') : std::string::npos;
        if (bang != std::string::npos && bang > 0 && bang + 1 < whole.local.size()) {
            whole.domain = whole.local.substr(0, bang);
            whole.local.erase(0, bang + 1);
        } else if (percent != std::string::npos && percent > 0 && percent + 1 < whole.local.size()) {
            whole.domain = whole.local.substr(percent + 1);
            whole.local.resize(percent);
        } else if (completion.at_origin) {
            whole.domain = completion.origin;
        }
    }
    if (whole.domain.ends_with('.'))
        whole.domain.pop_back();
    if (completion.dot_domain && !completion.domain.empty() && !whole.domain.empty() && !whole.literal() &&
        whole.domain.find('.') == std::string::npos)
        whole.domain += "." + completion.domain;
    if (whole == mailbox)
        return std::nullopt;
    return whole;
}

std::optional<std::string> complete_address(std::string_view address, const Completion& completion)
{
    const auto whole = complete_mailbox(smtp::mailbox_of(address), completion);
    return whole ? std::optional{whole->text()} : std::nullopt;
}

}  // namespace posthorn::cleanup
