#include "exim/give_back_exim.hpp"
#include "exim/spool_message.hpp"
#include "exim/spool_writer.hpp"
#include "exim/take_over_exim.hpp"
#include "migrate/queue_test.hpp"

#include <fstream>
#include <iterator>

using namespace posthorn;
using migrate::testing::Queues;
namespace fs = std::filesystem;

namespace {

const std::string give_id = "1tGhmS-000GtA-2Q";

std::string file_text(const fs::path& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

class Back : public Queues {
public:
    Back() : Queues({"input"})
    {
        put("1tGhmA-000001-01", "a@x.test", "");
        put("1tGhmB-000001-01", "b@x.test", "");
        put("1tGhmC-000001-01", "held@x.test", "-frozen 1795662900\n");
    }
    void put(const std::string& id, const std::string& recipient, const std::string& variables) const
    {
        write("input/" + id + "-D", id + "-D\n" + recipient + "\n");
        write("input/" + id + "-H",
              fmt::format("{}-H\nmail 8 8\n<s@x.test>\n1795662802 0\n{}XX\n1\n{}\n\n011  Subject: x\n", id, variables, recipient));
    }

    /// Exim delivers what it finds, frozen or not.
    std::multiset<std::string> exim_delivers() const
    {
        std::multiset<std::string> delivered;
        for (const auto& entry : fs::directory_iterator(theirs() + "/input")) {
            const std::string path = entry.path().string(), id = entry.path().filename().string().substr(0, 16);
            if (!path.ends_with("-H"))
                continue;
            const std::string head = file_text(path), data = file_text(path.substr(0, path.size() - 1) + "D");
            std::string content;
            const auto read = exim::read_spool_message(id, {.head = head, .data = data, .journal = {}, .log = {}}, [&](std::string_view octets) {
                content += octets;
                return Result<void>{};
            });
            REQUIRE_MESSAGE(read, read.error().text());
            const std::string address = read->envelope.recipients(0).address();
            CHECK(content == "Subject: x\r\n\r\n" + address + "\r\n");
            CHECK(read->frozen == (address == "held@x.test"));
            delivered.insert(address);
            fs::remove(path.substr(0, path.size() - 1) + "D");
            fs::remove(path);
        }
        return delivered;
    }
};

}  // namespace

TEST_CASE("exim back: wherever a run is cut off, and whatever either system delivered in between, each message comes once")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const Back queues;
        CHECK_FALSE(queues.cut_off(exim::take_over_queue, 0));
        const bool cut = queues.cut_off(exim::give_back_queue, step);
        auto delivered = queues.exim_delivers();
        delivered.merge(queues.deliver());
        CHECK_FALSE(queues.cut_off(exim::give_back_queue, 0));
        delivered.merge(queues.exim_delivers());
        CHECK(delivered == std::multiset<std::string>{"a@x.test", "b@x.test", "held@x.test"});
        CHECK(queues.deliver(true).empty());
        CHECK(fs::is_empty(queues.theirs() + "/posthorn-back"));
        CHECK(fs::is_empty(queues.theirs() + "/input"));
        if (!cut) {
            CHECK(step > 6);
            break;
        }
    }
}

TEST_CASE("exim back: a run that was cut off between -D and -H of a message is finished by the next")
{
    const Back queues;
    CHECK_FALSE(queues.cut_off(exim::take_over_queue, 0));
    CHECK(queues.cut_off(exim::give_back_queue, 4));
    int moved = 0;
    for (const auto& entry : fs::recursive_directory_iterator(queues.theirs() + "/posthorn-back"))
        if (const fs::path path = entry.path(); path.string().ends_with("-D") && path.parent_path().string().find(".given") != std::string::npos) {
            fs::rename(path, fs::path(queues.theirs()) / "input" / path.filename());
            ++moved;
        }
    CHECK(moved == 3);
    CHECK_FALSE(queues.cut_off(exim::give_back_queue, 0));
    CHECK(queues.exim_delivers() == std::multiset<std::string>{"a@x.test", "b@x.test", "held@x.test"});
    CHECK(queues.deliver(true).empty());
}

TEST_CASE("exim back: a name that is in Exim's spool already is not taken again")
{
    const Back queues;
    CHECK_FALSE(queues.cut_off(exim::take_over_queue, 0));
    // The names that a first run chose, in a spool that gets others by them.
    CHECK(queues.cut_off(exim::give_back_queue, 1));
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(queues.theirs() + "/posthorn-back"))
        if (const std::string name = entry.path().filename().string(); name.ends_with("-D"))
            names.insert(name);
    REQUIRE(names.size() == 3);
    for (const std::string& name : names)
        queues.write("input/" + name, "in the way");
    CHECK_FALSE(queues.cut_off(exim::give_back_queue, 0));
    for (const std::string& name : names)
        CHECK(file_text(queues.theirs() + "/input/" + name) == "in the way");
    CHECK(queues.exim_delivers().size() == 3);
}

TEST_CASE("exim writer: what is written is read again, in pieces of any size")
{
    handoff::Envelope envelope;
    envelope.set_arrival(1795662802'000007);
    envelope.set_sender("s@y.test");
    envelope.set_submitter(8);
    envelope.set_body(handoff::BODY_8BIT);
    envelope.set_smtputf8(true);
    envelope.set_envid("env id+");
    envelope.set_ret(handoff::RET_FULL);
    handoff::Client& client = *envelope.mutable_client();
    client.set_name("c.test");
    client.set_address("2001:db8::1");
    client.set_port(25);
    client.set_helo("c.test");
    client.set_protocol("UTF8SMTPSA");
    client.set_sasl_username("me");
    client.set_sasl_sender("me@y.test");
    client.set_sasl_method("plain");
    client.set_server_address("192.0.2.1");
    client.set_server_port(587);
    for (const char* address : {"a@x.test", "\"b c\"@x.test", "d@x.test"})
        envelope.add_recipients()->set_address(address);
    envelope.mutable_recipients(1)->set_index(1);
    envelope.mutable_recipients(1)->set_orcpt("rfc822;o +@x.test");
    envelope.mutable_recipients(1)->set_notify(handoff::NOTIFY_FAILURE | handoff::NOTIFY_DELAY);
    envelope.mutable_recipients(2)->set_index(2);
    envelope.mutable_recipients(2)->set_notify(handoff::NOTIFY_NEVER);
    const std::string header = "Received: from it\r\n\tby there\r\nSubject: gr\xc3\xbc\r\n";
    const std::string body = ".dot\r\nlone \r in a line\r\n\r\n" + std::string(3000, 'z') + "\r\nnull " + std::string(1, '\0') + "\r\nend\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, body.size()}) {
        exim::BodyWriter writer;
        std::string data = give_id + "-D\n";
        for (std::size_t at = 0; at < body.size(); at += piece)
            data += writer.content(std::string_view(body).substr(at, piece));
        data += writer.end();
        CHECK(writer.lines() == 6);
        CHECK(writer.zeros() == 1);
        CHECK(writer.longest() == 3000);
        const auto head = exim::spool_head(give_id, {.name = "mail", .uid = 8, .gid = 8}, envelope, header, writer, 1795662900);
        REQUIRE(head);
        std::string content;
        const auto read = exim::read_spool_message(give_id, {.head = *head, .data = data, .journal = {}, .log = {}}, [&](std::string_view octets) {
            content += octets;
            return Result<void>{};
        });
        REQUIRE_MESSAGE(read, read.error().text());
        CHECK(content == header + "\r\n" + body);
        CHECK(read->frozen);
        envelope.set_size(content.size());
        CHECK(read->envelope.SerializeAsString() == envelope.SerializeAsString());
    }
}

TEST_CASE("exim writer: what its spool cannot say is an error")
{
    const auto error_of = [](const auto& change) {
        handoff::Envelope envelope;
        envelope.set_arrival(1);
        envelope.add_recipients()->set_address("a@x.test");
        change(envelope);
        const auto head = exim::spool_head(give_id, {.name = "mail", .uid = 8, .gid = 8}, envelope, "", {}, 0);
        return head ? "none" : head.error().text();
    };
    CHECK(error_of([](auto&) {}) == "none");
    CHECK(error_of([](auto& envelope) { envelope.set_requiretls(true); }) == "REQUIRETLS (RFC 8689) cannot be said in Exim's spool");
    CHECK(error_of([](auto& envelope) { envelope.set_body(handoff::BODY_BINARY); }) == "BODY=BINARYMIME cannot be said in Exim's spool");
    CHECK(error_of([](auto& envelope) { envelope.set_filter("smtp:x"); }) == "content filter smtp:x cannot be said in Exim's spool");
    CHECK(error_of([](auto& envelope) { envelope.set_verp("+="); }) == "VERP cannot be said in Exim's spool");
    CHECK(error_of([](auto& envelope) { envelope.set_purpose(handoff::PURPOSE_VERIFY_ADDRESS); }) ==
          "an address verification cannot be said in Exim's spool");
    CHECK(error_of([](auto& envelope) { envelope.set_sender("a\n"); }) == "the sender has a line end");
    CHECK(error_of([](auto& envelope) { envelope.mutable_recipients(0)->set_address("a\n"); }) == "a recipient has a line end");
    CHECK(exim::message_id(1795662802, 62, 63) == "1xWPvG-000010-11");
}
