#include "submit/framing.hpp"

#include <algorithm>

namespace posthorn::submit {

namespace {

void put_length(std::string& out, std::size_t length)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(length >> shift & 0xff);
}

std::size_t get_length(std::string_view octets)
{
    std::size_t length = 0;
    for (const char octet : octets)
        length = length << 8 | static_cast<unsigned char>(octet);
    return length;
}

}  // namespace

std::string encode_head(std::string_view envelope)
{
    std::string out(record_magic);
    put_length(out, envelope.size());
    return out.append(envelope);
}

std::string encode_content(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size() + 4 * (octets.size() / chunk_limit + 1));
    while (!octets.empty()) {
        const std::string_view chunk = octets.substr(0, chunk_limit);
        put_length(out, chunk.size());
        out.append(chunk);
        octets.remove_prefix(chunk.size());
    }
    return out;
}

std::string encode_end() { return std::string(4, '\0'); }

Framing::Framing(std::uint64_t content_limit, Take envelope, Take content)
    : content_limit_(content_limit), envelope_(std::move(envelope)), content_(std::move(content)), wanted_(record_magic.size())
{
}

Result<void> Framing::feed(std::string_view octets)
{
    while (!octets.empty()) {
        if (state_ == State::end)
            return Error{"data after the end"};
        const std::string_view piece = octets.substr(0, wanted_);
        octets.remove_prefix(piece.size());
        wanted_ -= piece.size();
        if (state_ == State::chunk) {
            TRY_VOID(content_(piece));                             // never held
        } else {
            held_ += piece;
        }
        if (wanted_ == 0) {
            TRY_VOID(turn());
        }
    }
    return {};
}

Result<void> Framing::turn()
{
    const std::string held = std::exchange(held_, {});
    wanted_ = 4;
    switch (state_) {
    case State::magic:
        if (held != record_magic)
            return Error{"not a maildrop record"};
        state_ = State::envelope_length;
        return {};
    case State::envelope_length:
        wanted_ = get_length(held);
        if (wanted_ == 0 || wanted_ > envelope_limit)
            return Error{"envelope too large"};
        state_ = State::envelope;
        return {};
    case State::envelope:
        TRY_VOID(envelope_(held));
        state_ = State::chunk_length;
        return {};
    case State::chunk_length:
        wanted_ = get_length(held);
        if (wanted_ == 0) {
            state_ = State::end;
            return {};
        }
        if (wanted_ > chunk_limit)
            return Error{"chunk too large"};
        content_size_ += wanted_;
        if (content_limit_ > 0 && content_size_ > content_limit_)
            return Error{"message file too big"};
        state_ = State::chunk;
        return {};
    case State::chunk: state_ = State::chunk_length; return {};
    case State::end: break;
    }
    return {};
}

Result<void> Framing::finish() const
{
    if (!done())
        return Error{"broken off"};
    return {};
}

}  // namespace posthorn::submit
