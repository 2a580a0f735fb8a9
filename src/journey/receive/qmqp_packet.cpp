#include "receive/qmqp_packet.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <limits>

namespace posthorn::receive {

std::string& QmqpPacket::target()
{
    switch (part_) {
    case Part::sender: return sender_;
    case Part::recipient: return recipients_.back();
    default: return content_;
    }
}

/// A length is whole.
std::expected<void, QmqpPacket::Fault> QmqpPacket::begin()
{
    digits_ = false;
    if (part_ == Part::header) {
        part_ = Part::content;
        length_ = 0;
        return {};
    }
    std::uint64_t most = part_ == Part::content ? limits_.content : limits_.address;
#ifdef POSTHORN_PLANT_BUG_qmqp_packet  // an address may be one octet longer than it may be (scripts/fuzz-planted)
    most += part_ != Part::content;
#endif
    if (most != 0 && length_ > most)
        return std::unexpected(Fault::size);
    if (part_ == Part::recipient)
        recipients_.emplace_back();
    inside_ = Inside::octets;
    return {};
}

std::expected<bool, QmqpPacket::Fault> QmqpPacket::feed(std::string_view& octets)
{
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    while (!octets.empty()) {
        const char c = octets.front();
        switch (inside_) {
        case Inside::length:
            octets.remove_prefix(1);
            if (c == ',' && part_ == Part::recipient && !digits_)
                return true;
            if (c == ':') {
                if (const auto begun = begin(); !begun)
                    return std::unexpected(begun.error());
            } else if (!is_digit(c)) {
                return std::unexpected(Fault::format);
            } else if (length_ > (most - 9) / 10) {
                return std::unexpected(Fault::size);
            } else {
                digits_ = true;
                length_ = length_ * 10 + static_cast<std::uint64_t>(c - '0');
            }
            break;
        case Inside::octets: {
            const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(length_, octets.size()));
            target() += octets.substr(0, now);
            octets.remove_prefix(now);
            if (part_ == Part::recipient)
                recipient_octets_ += now;
            length_ -= now;
            if (length_ == 0)
                inside_ = Inside::comma;
            break;
        }
        case Inside::comma:
            if (c != ',')
                return std::unexpected(Fault::format);
            octets.remove_prefix(1);
            inside_ = Inside::length;
            part_ = part_ == Part::content ? Part::sender : Part::recipient;
            break;
        }
    }
    return false;
}

std::size_t QmqpPacket::held() const
{
    return content_.capacity() + sender_.capacity() + recipients_.capacity() * sizeof(std::string) + recipient_octets_;
}

std::string_view to_text(QmqpPacket::Part part)
{
    switch (part) {
    case QmqpPacket::Part::header: return "QMQP packet header";
    case QmqpPacket::Part::content: return "message content";
    case QmqpPacket::Part::sender: return "sender address";
    case QmqpPacket::Part::recipient: return "recipient address";
    }
    return {};
}

QmqpReturnPath qmqp_return_path(std::string_view sender)
{
    constexpr std::string_view mark = "-@[]";
    const QmqpReturnPath plain{std::string(sender), {}};
    if (!sender.ends_with(mark))
        return plain;
    const std::string_view marked = sender.substr(0, sender.size() - mark.size());          // prefix-@origin
    const auto at = marked.find('@');
    if (at == marked.npos || at < 2 || at + 1 == marked.size())
        return plain;
    return {std::string(marked.substr(0, at - 1)) + std::string(marked.substr(at)), std::string{marked[at - 1], '='}};
}

}  // namespace posthorn::receive
