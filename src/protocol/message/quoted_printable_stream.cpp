#include "message/quoted_printable_stream.hpp"

#include "message/header.hpp"
#include "message/to_7bit.hpp"

#include <fmt/format.h>

namespace posthorn::message {

namespace {

bool claims_8bit(Encoding encoding) { return encoding == Encoding::eight_bit || encoding == Encoding::binary; }

/// It goes on in the next line: the octets so far may fill this one, and then the last of them goes with those.
void break_softly(std::string& encoded)
{
    const std::size_t start = encoded.rfind('\n') + 1;             // none: 0
    if (encoded.size() - start > 75) {
        const bool escaped = encoded[encoded.size() - 3] == '=';
        const std::string last = encoded.substr(encoded.size() - (escaped ? 3 : 1));
        encoded.resize(encoded.size() - last.size());
        encoded += "=\r\n";
        encoded += last == "-" ? "=2D" : last;                      // no line that we begin may look like a boundary
    }
    encoded += "=\r\n";
}

MimeStreamLimits with_all_lines(MimeStreamLimits limits)
{
    limits.lines_to = UINT64_MAX;
    return limits;
}

}  // namespace

QuotedPrintableStream::QuotedPrintableStream(const ContentType& type, Encoding encoding, MimeStreamLimits limits)
    : stream_(type, encoding, with_all_lines(limits)), encodes_(label(type, encoding) == "quoted-printable")
{
}

std::string_view QuotedPrintableStream::label(const ContentType& type, Encoding encoding)
{
    if (!claims_8bit(encoding))
        return "";
    return type.type == "multipart" || type.type == "message" ? "7bit" : "quoted-printable";
}

/// The field that goes into the header which ends here; what follows is encoded or not.
std::string QuotedPrintableStream::end_header()
{
    const std::string_view says = label(stream_.last_type(), stream_.last_encoding());
    in_header_ = false;
    encodes_ = says == "quoted-printable" && !claim_.empty();
    std::string field = std::exchange(claim_, {});
    return says.empty() || field.empty() ? field : fmt::format("Content-Transfer-Encoding: {}\r\n", says);
}

void QuotedPrintableStream::take(const MimeStream::Item& item, std::string& out)
{
    using Kind = MimeStream::Item::Kind;
    if (item.boundary) {
        out += std::exchange(claim_, {});                       // of a part without a body
        out += item.text;
        in_header_ = encodes_ = false;
        return;
    }
    if (item.kind == Kind::field) {
        in_header_ = true;
        encodes_ = false;
        const auto field = HeaderWalk(item.text).next();
        if (claim_.empty() && !item.to_be_continued && field && field->is("Content-Transfer-Encoding") && claims_8bit(parse_encoding(field->body)))
            claim_ = item.text;
        else
            out += item.text;
        return;
    }
    if (item.kind == Kind::separator) {
        out += end_header();
        out += item.text;
        return;
    }
    if (item.continues) {
        out += item.text;
        return;
    }
    if (in_header_) {
        out += end_header();
        if (encodes_)
            out += "\r\n";                                      // encoded, it might look like a field
    }
    if (!encodes_) {
        out += item.text;
        return;
    }
    const std::size_t end = item.text.ends_with("\r\n") ? 2 : item.text.ends_with('\n') ? 1 : 0;
    std::string_view text = item.text.substr(0, item.text.size() - end);
    std::string line;
    if (std::exchange(amid_line_, item.to_be_continued) && text.starts_with('-')) {
        line = "=2D";
        text.remove_prefix(1);
    }
    append_quoted_printable(text, line);
    if (item.to_be_continued)
        break_softly(line);
    out += line;
    out += item.text.substr(item.text.size() - end);
}

std::string QuotedPrintableStream::convert(std::string_view octets, bool last)
{
    std::string out;
    out.reserve(octets.size());
    stream_.add(octets);
    if (last)
        stream_.end();
    while (const auto item = stream_.next())
        take(*item, out);
    if (last)
        out += std::exchange(claim_, {});
    return out;
}

}  // namespace posthorn::message
