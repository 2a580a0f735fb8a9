// message/quoted_printable_stream.hpp: what claims to be 8-bit becomes quoted-printable while it comes in.               RFC 2045 6.7, RFC 6152 3
// Shape    the body of a message in pieces; out come pieces of the same body, in which every leaf that says 8bit or binary is quoted-printable, and every
//          multipart and message that says so says 7bit. What claims nothing stays, whatever octets it has.
// Memory   that of MimeStream, whatever the size. Trust: none; what is nested too deep stays as it is.
#pragma once

#include "message/mime_stream.hpp"

#include <string>
#include <string_view>

namespace posthorn::message {

class QuotedPrintableStream {
public:
    /// `encoding`: what the header of the message said, before it was changed.
    QuotedPrintableStream(const ContentType& type, Encoding encoding, MimeStreamLimits limits);
    std::string convert(std::string_view octets, bool last);

    /// What a header has to say instead; empty: it stays.
    static std::string_view label(const ContentType& type, Encoding encoding);

private:
    void take(const MimeStream::Item& item, std::string& out);
    std::string end_header();

    MimeStream stream_;
    std::string claim_;  // the field that said 8bit, until the header has ended
    bool in_header_ = false, encodes_ = false, amid_line_ = false;
};

}  // namespace posthorn::message
