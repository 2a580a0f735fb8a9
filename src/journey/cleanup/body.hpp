// cleanup/body.hpp: checks over the body while it passes.                                    header_checks(5), RFC 2045, 2046
// Memory   that of message::MimeStream, whatever the size. What no check looks at is copied once.
#pragma once

#include "cleanup/chain.hpp"
#include "message/quoted_printable_stream.hpp"

namespace posthorn::cleanup {

class Cleaner;

class BodyCheck final : public handoff::BodyCleaner {
public:
    /// `cleaner` outlives it. `draft` as the header's links left it.
    BodyCheck(const Cleaner& cleaner, const Draft& draft);
    /// Is there anything to look for in the body of this message?
    static bool wanted(const Draft& draft, const Options& options, const Asked& asked);

    awaitable<std::expected<std::string, Refusal>> clean(std::string octets, bool last) override;
    awaitable<std::expected<handoff::Envelope, Refusal>> conclude(handoff::Envelope envelope) override;
    bool discards() const override { return findings_.discard; }

private:
    using Item = message::MimeStream::Item;
    awaitable<void> check(Item item, std::string* out);
    void strict(const Item& item);
    const tables::Maps& maps_for(const Item& item) const;

    const Cleaner& cleaner_;
    handoff::Envelope envelope_;              // for the log
    Findings findings_;
    std::optional<message::QuotedPrintableStream> converter_;        // goes first
    message::MimeStream stream_;
    std::string line_;                        // begun and not ended, as far as the log would show it
    bool swallow_ = false;                    // the rest of a field that was taken out
    bool half_line_end_ = false;              // a CR that was the last octet so far
};

}  // namespace posthorn::cleanup
