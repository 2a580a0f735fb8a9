// milter/mail.hpp: one message as filters see and change it, one after the other.
// Shape    the header as fields, CRLF at the ends of their lines; the body as octets of the content behind the header, or what took its place.
//          The first Received: is ours: filters do not see it, places to insert at count it, and changes by name do not (as Sendmail has it).
//          Where a header check took it away there may be none, and whatever is in front then is the message's own.
//          What follows the first fields of header_limit octets is body, as for cleanup: a header of many fields costs many times its octets.
// Errors   a body that takes the place of another may have body_limit octets, and what the holder of the memory allows (4.3.1).
// Pure, but for `read`.
#pragma once

#include "async/async.hpp"
#include "milter/changes.hpp"
#include "milter/wire.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::milter {

struct HeaderField {
    explicit HeaderField(std::string whole, bool theirs = false);
    bool is(std::string_view name) const;
    std::string text;
    std::size_t name_size = 0;  // at the front of `text`; 0: it is no field
    bool from_filter;  // since milter_header_checks looked last
    bool ours = false;
};

class Mail {
public:
    static constexpr std::size_t header_limit = 256 * 1024;
    /// Octets of the content from `offset`: `most` of them, fewer at the end.
    using Read = std::function<awaitable<Result<std::string>>(std::uint64_t offset, std::size_t most)>;

    /// Reads as much as the header is. An Error: `read`'s.
    static awaitable<Result<std::unique_ptr<Mail>>> load(std::uint64_t size, Read read, std::uint64_t body_limit);
    /// `front`: the beginning of the content, with the whole header.
    Mail(std::string_view front, std::uint64_t size, Read read, std::uint64_t body_limit);
    Mail(Mail&&) = delete;

    /// Asked before it holds so many octets; false: there is no room for them now.
    using MayHold = std::function<bool(std::size_t octets)>;
    void hold_within(MayHold may_hold) { may_hold_ = std::move(may_hold); }
    /// What it holds now: fields, and the body that took the place of another.
    std::size_t held() const;

    const std::vector<HeaderField>& header() const { return header_; }
    std::vector<HeaderField>& edit_header()
    {
        changed_ = true;
        return header_;
    }
    /// A piece of the body as it is now; empty: its end.
    awaitable<Result<std::string>> body(std::uint64_t offset, std::size_t most) const;

    /// One of the modifications of a filter. `space`: whether a value has its white space in front itself.
    Result<void> apply(const Response& response, bool space);
    /// The filter has said its last word: a new body is whole.
    void end_of_changes();
    /// It failed before that: the message is what it was before this filter.
    void take_back_changes();

    bool changed() const { return changed_; }
    /// The header as it is now, with what parts it from the body.
    std::string head() const;
    /// Octets of the content that head() takes the place of.
    std::uint64_t old_head_size() const { return body_offset_; }
    const std::optional<std::string>& new_body() const { return new_body_; }
    std::optional<std::string> take_new_body() { return std::exchange(new_body_, std::nullopt); }
    const std::vector<EnvelopeChange>& envelope_changes() const { return envelope_; }
    std::vector<EnvelopeChange> take_envelope_changes() { return std::exchange(envelope_, {}); }

private:
    struct Before {
        std::vector<HeaderField> header;
        bool changed;
        std::size_t envelope_changes;
    };
    std::size_t find(std::string_view name, std::uint32_t index) const;
    Result<void> add_to_body(std::string_view octets);

    std::vector<HeaderField> header_;
    bool separated_ = false, changed_ = false;
    std::uint64_t body_offset_ = 0, size_;
    Read read_;
    std::uint64_t body_limit_;
    MayHold may_hold_;
    std::size_t header_held_ = 0;  // as it was read
    std::optional<std::string> new_body_, coming_;
    bool after_cr_ = false;
    std::vector<EnvelopeChange> envelope_;
    std::unique_ptr<Before> before_;  // the changes of the filter in hand; none: it has made none
};

}  // namespace posthorn::milter
