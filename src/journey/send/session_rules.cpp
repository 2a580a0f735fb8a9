// What the administrator's tables say of a peer: its replies line by line, and the workarounds for a PIX.
#include "send/session.hpp"

#include "base/strings.hpp"

namespace posthorn::send {

namespace {

/// Kept of a line for the filter, as smtp::ReplyLimits has it; what is beyond is dropped.
constexpr std::size_t filtered_octets = 2048;
constexpr std::size_t garbage_shown = 100;

}  // namespace

/// smtp_reply_filter: every line is looked up as it came, less its end; a result takes its place before anything is made of it.
awaitable<Result<std::optional<smtp::Reply>>> Session::filtered()
{
    while (!input_.empty()) {
        const auto lf = input_.find('\n');
        const std::size_t length = std::min(lf, input_.size());
        line_.append(input_.substr(0, std::min(length, filtered_octets - std::min(line_.size(), filtered_octets))));
        input_.remove_prefix(std::min(length + 1, input_.size()));
        if (lf == std::string_view::npos)
            break;
        if (line_.ends_with('\r'))
            line_.pop_back();
        auto found = co_await around_.reply_filter->find(line_);
        if (!found) {
            own_fault_ = Reason(false, "4.3.0", fmt::format("local data error while talking to {}", peer_text_));
            co_return std::move(found).error();
        }
        if (const std::optional<std::string>& replaced = *found) {
            if (debug_)
                transcript('<', line_);
            line_ = *replaced;
            line_replaced_ = true;
        }
        line_ += "\r\n";
        const std::string whole = std::exchange(line_, {});
        std::string_view octets = whole;
        CO_TRY(auto reply, parser_.feed(octets));
        if (!reply)
            continue;
        if (std::exchange(line_replaced_, false))
            reply->mixed_codes = false;                             // those are the administrator's: the last line's code counts
        co_return std::move(reply);
    }
    co_return std::optional<smtp::Reply>();
}

void Session::note_garbage(const smtp::Reply& reply)
{
    out_of_step_ = true;
    around_.log.warning("{}: non-{} response from {}: {}", wish_.queue_id, options_.lmtp ? "LMTP" : "ESMTP", relay_,
                        printable(std::string_view(reply.garbage_line).substr(0, garbage_shown)));
    if (features_.has(smtp::Keyword::pipelining) && !host_.endpoint.is_unix())
        around_.log.warning("to prevent loss of mail, turn off command pipelining for {} with the {} parameter", host_.endpoint.ip.text(),
                            options_.lmtp ? "lmtp_discard_lhlo_keyword_address_maps" : "smtp_discard_ehlo_keyword_address_maps");
}

/// A greeting that a PIX painted over.
awaitable<void> Session::learn_pix()
{
    bool disable_esmtp = options_.pix_disable_esmtp, delay_dot = options_.pix_delay_dot;
    if (around_.pix && !host_.endpoint.is_unix()) {
        const auto found = co_await around_.pix->find(host_.endpoint.ip.text());
        if (!found) {
            end_with(Reason(false, "4.3.0", fmt::format("PIX workaround lookup for {}: {}", peer_text_, found.error().text())));
            co_return;
        }
        if (const std::optional<std::string>& words = *found) {
            disable_esmtp = delay_dot = false;
            for (const std::string_view word : split(*words, ", \t")) {
                disable_esmtp = disable_esmtp || iequals(word, "disable_esmtp");
                delay_dot = delay_dot || iequals(word, "delay_dotcrlf");
                if (!iequals(word, "disable_esmtp") && !iequals(word, "delay_dotcrlf"))
                    around_.log.warning("{}_pix_workaround_maps: unknown word in value for {}: {}", options_.lmtp ? "lmtp" : "smtp",
                                        host_.endpoint.ip.text(), word);
            }
        }
    }
    std::string words;
    if (disable_esmtp && !options_.lmtp) {
        esmtp_ = false;
        words = "disable_esmtp";
    }
    if (delay_dot && wish_.age > options_.pix_threshold) {
        pix_dot_ = true;
        known_.quirks.add(peers::Quirk::dot_alone);
        words += words.empty() ? "delay_dotcrlf" : " delay_dotcrlf";
    }
    if (!words.empty())
        around_.log.info("{}: enabling PIX workarounds: {} for {}", wish_.queue_id, words, relay_);
}

}  // namespace posthorn::send
