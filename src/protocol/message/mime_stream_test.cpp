#include "message/mime_stream.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn::message;

namespace {

/// The items in short: F field (p part, n nested), S separator, L line, T text; B marks boundaries. Chunks of `step` octets.
std::string walked(std::string_view body, const ContentType& type, MimeStreamLimits limits = {}, std::size_t step = 0, MimeStream* into = nullptr)
{
    MimeStream stream(type, Encoding::seven_bit, limits);
    std::string said, passed;
    const auto drain = [&] {
        while (const auto item = stream.next()) {
            passed += item->text;
            std::string text(item->text);
            while (!text.empty() && (text.back() == '\r' || text.back() == '\n'))
                text.pop_back();
            using Kind = MimeStream::Item::Kind;
            if (item->kind == Kind::text && !item->boundary)
                continue;                                // how text is cut is nobody's business
            const bool nested = item->place == MimeStream::Place::nested;
            said += fmt::format("{}{}[{}] ",
                                item->boundary                  ? "B"
                                : item->kind == Kind::field     ? "F"
                                : item->kind == Kind::separator ? "S"
                                                                : "L",
                                item->kind == Kind::field ? (nested ? "n" : "p") : "", text);
        }
    };
    if (step == 0)
        step = std::max<std::size_t>(body.size(), 1);
    for (std::size_t at = 0; at < body.size(); at += step) {
        stream.add(body.substr(at, step));
        drain();
    }
    stream.end();
    drain();
    CHECK(passed == body);
    if (into != nullptr)
        *into = std::move(stream);
    return said;
}

ContentType multipart(std::string boundary, std::string subtype = "mixed")
{
    ContentType made;
    made.type = "multipart";
    made.subtype = std::move(subtype);
    made.boundary = std::move(boundary);
    return made;
}

constexpr std::string_view mixed = "preamble\r\n--b\r\nContent-Type: text/plain;\r\n charset=x\r\nX: y\r\n\r\nhello\r\n"
                                   "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
                                   "--c\r\n\r\ndeep\r\n--c--\r\nepilogue\r\n--b--\r\n--b\r\nX: none\r\n";

}  // namespace

TEST_CASE("mime stream: fields of parts and of messages within are told apart, whatever the chunks")
{
    const std::string_view want = "B[--b] Fp[Content-Type: text/plain;\r\n charset=x] Fp[X: y] S[] B[--b] Fp[Content-Type: message/rfc822] S[] "
                                  "Fn[Subject: inner] Fn[Content-Type: multipart/mixed; boundary=c] S[] B[--c] S[] B[--c--] B[--b--] ";
    for (const std::size_t step : {0, 1, 2, 3, 5, 7, 11, 64})
        CHECK(walked(mixed, multipart("b"), {}, step) == want);
}

TEST_CASE("mime stream: lines are told apart up to an offset of each segment, long ones in pieces")
{
    MimeStreamLimits limits;
    limits.lines_to = 7;
    limits.line = 4;
    for (const std::size_t step : {0, 1, 2, 3, 5, 7})
        CHECK(walked("--b\r\n\r\nab\r\nabcdefghi\r\nmore\r\n--b\r\nX: y\r\n\r\nabcd\r\nno\r\n", multipart("b"), limits, step) ==
              "B[--b] S[] L[ab] L[abcd] B[--b] Fp[X: y] S[] L[abcd] L[no] ");
    CHECK(walked("abc", {}, limits) == "L[abc] ");
}

TEST_CASE("mime stream: a header that ends without an empty line, with a boundary, or with the message")
{
    CHECK(walked("--b\r\nX: y\r\nno field\r\nZ: z\r\n--b\r\nY: y\r\n--b--\r\n", multipart("b")) == "B[--b] Fp[X: y] B[--b] Fp[Y: y] B[--b--] ");
    CHECK(walked("--b\r\nX: y", multipart("b")) == "B[--b] Fp[X: y] ");
    CHECK(walked("--b\r\n--b\r\n--b-x: no field\r\n", multipart("b")) == "B[--b] B[--b] B[--b-x: no field] ");
    CHECK(walked("--b\r\n\r\nSubject: a digest's\r\n\r\n--b--\r\n", multipart("b", "digest")) == "B[--b] S[] Fn[Subject: a digest's] S[] B[--b--] ");
}

TEST_CASE("mime stream: the exact boundary wins over its prefix, and the outer one ends what is within")
{
    const std::string_view text = "--ab\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--ab\r\nX: outer\r\n\r\n--ab--\r\n";
    CHECK(walked(text, multipart("ab")) ==
          "B[--ab] Fp[Content-Type: multipart/mixed; boundary=a] S[] B[--a] S[] B[--ab] Fp[X: outer] S[] B[--ab--] ");
}

TEST_CASE("mime stream: too deep and too long is said, and passes")
{
    MimeStreamLimits limits;
    limits.depth = 1;
    MimeStream stream({}, Encoding::seven_bit, {});
    walked(mixed, multipart("b"), limits, 3, &stream);
    CHECK(stream.too_deep());
    limits = {};
    limits.field = 10;
    for (const std::size_t step : {0, 1, 4, 13})
        CHECK(walked("--b\r\nLong: 0123456789\r\n more\r\nX: y\r\n\r\n--b--\r\n", multipart("b"), limits, step) ==
              "B[--b] Fp[Long: 0123] Fp[X: y] S[] B[--b--] ");
    ContentType encoded = multipart("b");
    CHECK(MimeStream(encoded, Encoding::base64, {}).bad_encoding_domain());
    CHECK(!MimeStream(encoded, Encoding::eight_bit, {}).bad_encoding_domain());
    CHECK(MimeStream({}, Encoding::base64, {}).plain());
    CHECK(!MimeStream(encoded, Encoding::seven_bit, {}).plain());
}

TEST_CASE("mime stream: a long folded field that comes octet by octet is one field, and what is known of it is not looked at again")
{
    std::string field = "--b\r\nX-Long: y\r\n";
    while (field.size() < 80'000)
        field += " \r\n";
    std::string body = field;
    for (int i = 0; i < 1500; ++i)
        body += " z\r\n";
    body += "X: y\r\n\r\nhello\r\n--b--\r\n";
    for (const std::size_t limit : {102'400UL, 82'000UL}) {
        MimeStreamLimits limits;
        limits.field = limit;
        const std::string whole = walked(body, multipart("b"), limits);
        MimeStream stream(multipart("b"), Encoding::seven_bit, limits);
        std::vector<std::string> fields;
        std::string passed;
        const auto drain = [&] {
            while (const auto item = stream.next()) {
                passed += item->text;
                if (item->kind == MimeStream::Item::Kind::field)
                    fields.emplace_back(item->text);
            }
        };
        stream.add(field);
        drain();
        for (std::size_t at = field.size(); at < body.size(); ++at) {
            stream.add(body.substr(at, 1));
            drain();
        }
        stream.end();
        drain();
        CHECK(passed == body);
        REQUIRE(fields.size() == 2);
        CHECK(fields[0].size() == std::min(body.find("X: y") - 5, limit));
        CHECK(fields[1] == "X: y\r\n");
        CHECK(whole.find("Fp[X: y] S[]") != std::string::npos);
    }
}
