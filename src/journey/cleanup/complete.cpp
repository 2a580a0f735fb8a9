#include "cleanup/chain.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"

namespace posthorn::cleanup {

std::optional<smtp::Mailbox> complete_mailbox(const smtp::Mailbox& mailbox, const Completion& completion)
{
    if (mailbox.null() || mailbox.local.empty() || completion.origin.empty())
        return std::nullopt;
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

Step complete_header(Draft& draft, const Options& options)
{
    const Completion& completion = draft.local_client ? options.local : options.remote;
    if (completion.origin.empty())
        return std::nullopt;
    const auto rewrite = [&](const smtp::Mailbox& mailbox) { return complete_mailbox(mailbox, completion); };
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next()) {
        if (message::address_field(field->name) == message::AddressField::none || field->whole.size() > options.header_size_limit)
            continue;
        if (std::ranges::any_of(options.drop_headers, [&](const std::string& name) { return field->is(name); }))
            continue;
        if (auto changed = message::rewrite_addresses(field->body, rewrite, options.token_limit))
            draft.edits.replace(static_cast<std::size_t>(field->body.data() - draft.head.data()), field->body.size(), std::move(*changed));
    }
    return std::nullopt;
}

Step complete_envelope(Draft& draft, const Options& options)
{
    if (auto sender = complete_address(draft.envelope.sender(), options.local)) {
        if (draft.envelope.sender_original().empty())
            draft.envelope.set_sender_original(draft.envelope.sender());
        draft.envelope.set_sender(std::move(*sender));
    }
    for (auto& recipient : *draft.envelope.mutable_recipients())
        if (auto address = complete_address(recipient.address(), options.local)) {
            if (recipient.original().empty())
                recipient.set_original(recipient.address());
            recipient.set_address(std::move(*address));
        }
    return std::nullopt;
}

}  // namespace posthorn::cleanup
