#include "migrate/queue_file.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using migrate::read_queue_file;

namespace {

std::string record(char type, std::string_view data)
{
    std::string out(1, type);
    std::size_t length = data.size();
    for (; length > 127; length >>= 7)
        out += static_cast<char>((length & 127) | 128);
    out += static_cast<char>(length);
    return out += data;
}

struct Read {
    Result<migrate::QueueFile> file = Error{"not read"};
    std::string content;
};
Read read(std::string_view octets)
{
    Read result;
    result.file = read_queue_file(octets, [&](std::string_view piece) {
        result.content += piece;
        return Result<void>{};
    });
    return result;
}
std::string error_of(std::string_view octets)
{
    const Read result = read(octets);
    return result.file ? "none" : result.file.error().text();
}

const std::string start = record('T', "1795662802 730674") + record('S', "s@x.test");
const std::string finish = record('X', "") + record('E', "");

}  // namespace

TEST_CASE("queue file: envelope, recipients with what was asked for each, content with CRLF, what was extracted")
{
    const std::string file = record('C', "            312             818               2              24             312               1") +
                             record('T', "1795662802 730674") + record('A', "create_time=1795662802") + record('A', "envelope_id=abc+d") +
                             record('A', "ret_flags=2") + record('S', "s@x.test") + record('A', "encoding=8bit") +
                             record('A', "client_name=unknown") + record('A', "client_address=127.0.0.1") + record('A', "helo_name=client.test") +
                             record('A', "protocol_name=ESMTP") + record('W', "     1795666402") + record('A', "notify_flags=12") +
                             record('A', "dsn_orig_rcpt=rfc822;orig+@there.test") + record('O', "alias@there.test") + record('R', "a@x.test") +
                             record('O', "done@x.test") + record('D', "done@x.test") + record('O', "b@x.test") + record('R', "b@x.test") +
                             record('M', "") + record('N', "Subject: x") + record('N', "") + record('L', std::string(2048, 'a')) + record('N', "b") +
                             record('N', "gr\xc3\xbc") + record('X', "") + record('L', "smtp:[127.0.0.1]:1") + record('E', "");
    const Read result = read(file);
    REQUIRE_MESSAGE(result.file, result.file.error().text());
    const handoff::Envelope& envelope = result.file->envelope;
    CHECK(result.file->cleaned);
    CHECK(result.file->done == 1);
    CHECK(result.content == "Subject: x\r\n\r\n" + std::string(2048, 'a') + "b\r\ngr\xc3\xbc\r\n");
    CHECK(envelope.size() == result.content.size());
    CHECK(envelope.arrival() == 1795662802'730674);
    CHECK(envelope.sender() == "s@x.test");
    CHECK(envelope.envid() == "abc+d");
    CHECK(envelope.ret() == handoff::RET_HDRS);
    CHECK(envelope.body() == handoff::BODY_8BIT);
    CHECK(envelope.smtputf8());
    CHECK(envelope.filter() == "smtp:[127.0.0.1]:1");
    CHECK(envelope.client().helo() == "client.test");
    REQUIRE(envelope.recipients_size() == 2);
    CHECK(envelope.recipients(0).address() == "a@x.test");
    CHECK(envelope.recipients(0).original() == "alias@there.test");
    CHECK(envelope.recipients(0).orcpt() == "rfc822;orig+@there.test");
    CHECK(envelope.recipients(0).notify() == (handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY));
    CHECK(envelope.recipients(1).address() == "b@x.test");
    CHECK(envelope.recipients(1).original().empty());
    CHECK(envelope.recipients(1).orcpt().empty());
    CHECK(envelope.recipients(1).notify() == 0);
    CHECK(envelope.recipients(1).index() == 1);
}

TEST_CASE("queue file: offsets are followed, what was taken out is passed over, a last line without its end gets one")
{
    // A recipient that was added later stands behind the end, and leads back.
    std::string file = start;
    const std::size_t there = file.size();
    file += record('p', fmt::format("{:>15}", 0)) + record('M', "");
    const std::size_t back = there + record('p', fmt::format("{:>15}", 0)).size();
    file += record('N', "a") + record('w', "gone") + record('L', "open") + finish;
    const std::size_t added = file.size();
    file += record('R', "late@x.test") + record('p', fmt::format("{:>15}", back));
    file.replace(there, record('p', fmt::format("{:>15}", 0)).size(), record('p', fmt::format("{:>15}", added)));
    const Read result = read(file);
    REQUIRE_MESSAGE(result.file, result.file.error().text());
    CHECK(result.file->envelope.recipients(0).address() == "late@x.test");
    CHECK(result.content == "a\r\nopen\r\n");
    CHECK_FALSE(result.file->cleaned);
}

TEST_CASE("queue file: what is wrong is named with its octet")
{
    CHECK(error_of("") == "queue file, octet 0: cut short");
    CHECK(error_of("T\x80") == "queue file, octet 0: cut short");
    CHECK(error_of("T\x11"
                   "123") == "queue file, octet 0: a record of 17 octets, and 3 are left");
    CHECK(error_of("T\xff\xff\xff\xff\xff\xff\xff") == "queue file, octet 0: a length that no record has");
    CHECK(error_of(start + record('M', "") + record('N', "a")) == "queue file, octet 34: cut short");
    CHECK(error_of(start + record('E', "")) == "queue file, octet 29: the file ends before the message does");
    CHECK(error_of(start + record('S', "x")) == "queue file, octet 29: a second sender");
    CHECK(error_of(record('S', "a\nb")) == "queue file, octet 0: a bad sender");
    CHECK(error_of(start + record('R', "")) == "queue file, octet 29: a bad recipient");
    CHECK(error_of(start + record('R', "a\rb")) == "queue file, octet 29: a bad recipient");
    CHECK(error_of(start + record('?', "")) == "queue file, octet 29: unknown record '?'");
    CHECK(error_of(start + record('A', "x")) == "queue file, octet 29: an attribute without '='");
    CHECK(error_of(start + record('p', "99999")) == "queue file, octet 29: an offset outside of the file");
    CHECK(error_of(start + record('p', "29")) == "queue file, octet 29: its offsets lead in a circle");
    CHECK(error_of(start + record('M', "") + record('R', "x")) == "queue file, octet 31: unexpected record 'R' in the message");
    CHECK(error_of(record('T', "never") + record('S', "")) == "queue file, octet 0: bad arrival time");
    CHECK(error_of(record('T', "1 0") + record('M', "") + finish) == "queue file, octet 9: no sender");
    CHECK(error_of(record('S', "") + record('M', "") + finish) == "queue file, octet 6: no arrival time");
    CHECK(error_of(start + record('M', "") + record('N', "x") + record('X', "") + record('>', "")) == "queue file, octet 36: a bad redirect address");
}

TEST_CASE("queue file: what is written is read again, and a line of any length comes through")
{
    handoff::Envelope envelope;
    envelope.set_arrival(1795662802'000007);
    envelope.set_sender("");
    envelope.set_body(handoff::BODY_8BIT);
    envelope.set_smtputf8(true);
    envelope.set_envid("env id");
    envelope.set_ret(handoff::RET_FULL);
    envelope.set_filter("smtp:[127.0.0.1]:10025");
    envelope.mutable_client()->set_name("c.test");
    envelope.mutable_client()->set_address("2001:db8::1");
    envelope.mutable_client()->set_helo("c.test");
    envelope.mutable_client()->set_sasl_username("me");
    for (const char* address : {"a@x.test", "b@x.test"})
        envelope.add_recipients()->set_address(address);
    envelope.mutable_recipients(1)->set_index(1);
    envelope.mutable_recipients(1)->set_original("o@x.test");
    envelope.mutable_recipients(1)->set_orcpt("rfc822;o@x.test");
    envelope.mutable_recipients(1)->set_notify(handoff::NOTIFY_NEVER);
    std::string content = "Subject: x\r\n\r\nlone \r in a line\r\n";
    for (const std::size_t length : {0, 1, 2047, 2048, 2049, 4096, 100'000})
        content += std::string(length, 'z') + "\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, content.size()}) {
        migrate::QueueFileWriter writer;
        auto file = writer.begin(envelope);
        REQUIRE(file);
        for (std::size_t at = 0; at < content.size(); at += piece)
            *file += writer.content(std::string_view(content).substr(at, piece));
        *file += writer.end(envelope);
        const std::string sizes = writer.sizes();
        file->replace(0, sizes.size(), sizes);
        const Read result = read(*file);
        REQUIRE_MESSAGE(result.file, result.file.error().text());
        CHECK(result.content == content);
        envelope.set_size(content.size());
        CHECK(result.file->envelope.SerializeAsString() == envelope.SerializeAsString());
    }
    migrate::QueueFileWriter writer;
    envelope.set_requiretls(true);
    CHECK(writer.begin(envelope).error().text() == "REQUIRETLS (RFC 8689) cannot be said in it");
    envelope.set_requiretls(false);
    envelope.set_body(handoff::BODY_BINARY);
    CHECK(writer.begin(envelope).error().text() == "BODY=BINARYMIME cannot be said in it");
    envelope.set_body(handoff::BODY_8BIT);
    envelope.mutable_recipients(0)->set_address("a\n@x");
    CHECK(writer.begin(envelope).error().text() == "a recipient has a line end");
}
