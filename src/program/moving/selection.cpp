#include "moving/selection.hpp"

#include "base/strings.hpp"
#include "handoff/queue_id.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::moving {

namespace {

bool is_that(std::string_view address, std::string_view word)
{
    if (word == "<>")
        return address.empty();
    if (word.find('@') != word.npos)
        return iequals(address, word);
    const auto at = address.rfind('@');
    return at != address.npos && iequals(address.substr(at + 1), word);
}

bool is_address_or_domain(std::string_view word)
{
    return !word.empty() && !word.starts_with('-') && word.find_first_of(" \t\r\n") == word.npos && word.find('@') != 0 && !word.ends_with('@');
}

}  // namespace

Result<void> Selection::add(std::string_view word)
{
    if (handoff::is_queue_id(std::string(word)) && word.find('.') == word.npos && word.find('@') == word.npos)
        queue_ids.emplace_back(word);
    else if (is_address_or_domain(word))
        recipients.emplace_back(word);
    else
        return Error{fmt::format("neither a queue id nor an address nor a domain: {}", printable(word, true))};
    return {};
}

Result<void> Selection::add_sender(std::string_view word)
{
    if (word != "<>" && !is_address_or_domain(word))
        return Error{fmt::format("neither an address nor a domain nor <>: {}", printable(word, true))};
    senders.emplace_back(word);
    return {};
}

bool Selection::means(const handoff::QueueEntry& entry) const
{
    const handoff::Envelope& envelope = entry.envelope();
    if (all || std::ranges::find(queue_ids, envelope.queue_id()) != queue_ids.end())
        return true;
    const auto any = [](const std::vector<std::string>& words, std::string_view address) {
        return std::ranges::any_of(words, [=](const std::string& word) { return is_that(address, word); });
    };
    return any(senders, envelope.sender()) ||
           std::ranges::any_of(envelope.recipients(), [&](const handoff::Recipient& recipient) { return any(recipients, recipient.address()); });
}

}  // namespace posthorn::moving
