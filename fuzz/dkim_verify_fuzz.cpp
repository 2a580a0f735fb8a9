// DKIM of received mail: lists of tags give back what was written and nothing twice; whatever signatures and records of keys say, each signature that is
// looked at gets one of the results of RFC 8601, the same in whatever pieces the body comes, and only what the one key here signed is a pass.
#include "fuzz.hpp"

#include "async/run.hpp"
#include "mailauth/dkim_key.hpp"
#include "mailauth/tags.hpp"
#include "mailauth/verifier.hpp"
#include "message/header.hpp"

#include <array>
#include <set>

namespace posthorn::fuzz {

using namespace posthorn::mailauth;

namespace {

void check_tags(std::string_view text)
{
    (void)DkimKey::parse(text);
    const auto list = TagList::parse(text);
    if (!list)
        return;
    std::set<std::string_view> names;
    std::string again;
    for (const Tag& tag : list->all()) {
        FUZZ_CHECK(inside(tag.name, text) && inside(tag.value, text));
        FUZZ_CHECK(names.insert(tag.name).second);
        FUZZ_CHECK(list->find(tag.name) == tag.value);
        again += std::string(tag.name) + "=" + std::string(tag.value) + ";";
        for (const std::string_view word : colon_words(tag.value))
            FUZZ_CHECK(inside(word, text));
    }
    const auto second = TagList::parse(again);
    FUZZ_CHECK(second && second->all().size() == list->all().size());
}

std::vector<Finding> findings(std::string_view head, std::string_view body, std::string_view record, std::size_t step)
{
    static asio::io_context loop;
    static Helpers& threads = *new Helpers{1};  // never ended: what OpenSSL keeps for a thread that ends behind its own end is lost
    DkimVerifier verifier(std::string(head), {3}, std::chrono::sys_seconds{std::chrono::seconds{1'600'000'000}});
    run(loop, verifier.ask_for_keys([record](std::string, dns::Type type) -> awaitable<dns::Answer> {
        dns::Answer answer;
        answer.status = dns::Status::found;
        dns::Record one;
        one.type = type;
        one.text = record;
        answer.records.push_back(one);
        co_return answer;
    }));
    for (; !body.empty(); body.remove_prefix(std::min(step, body.size())))
        verifier.add(body.substr(0, step));
    return run(loop, verifier.findings(threads));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    // The record of the key, a line; then the message.
    const std::size_t line = message::line_end(input, 0);
    const std::string_view record = input.substr(0, line).substr(0, input.substr(0, line).find_last_not_of("\r\n") + 1);
    const std::string_view text = input.substr(line);
    check_tags(record);
    const message::HeaderWalk walk = message::walk_to_end(text);
    const std::string_view head = text.substr(0, walk.header_size()), body = text.substr(walk.body_offset());
    message::HeaderWalk fields(head);
    while (const auto field = fields.next()) {
        check_tags(field->body);
        const std::string without = without_signature(field->whole);
        FUZZ_CHECK(without.size() <= field->whole.size() && without_signature(without) == without);
    }
    const auto found = findings(head, body, record, 4096);
    FUZZ_CHECK(found == findings(head, body, record, 3));
    FUZZ_CHECK(found.size() <= 3);
    static constexpr std::array results{"pass", "fail", "neutral", "policy", "temperror", "permerror"};
    for (const Finding& finding : found) {
        FUZZ_CHECK(std::ranges::find(results, finding.result) != results.end());
        FUZZ_CHECK(finding.result == "pass" || !finding.reason.empty());
    }
}

}  // namespace posthorn::fuzz
