#include "report/explain.hpp"

#include "base/strings.hpp"
#include "handoff/reasons.hpp"
#include "handoff/record.hpp"
#include "peers/bounce_classes.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::report;
using handoff::ReportRequest;
using Words = std::vector<std::string>;

namespace {

ReportRequest one_failure(ReportRequest::Kind kind = ReportRequest::FAILURE)
{
    ReportRequest made;
    made.set_kind(kind);
    made.add_queue_ids("NEW1");
    made.add_queue_ids("NEW2");
    made.set_header("Subject: hi\r\n\r\nbody\r\n");
    handoff::Envelope& envelope = *made.mutable_envelope();
    envelope.set_queue_id("OLD");
    envelope.set_sender("a b@ours.test");
    envelope.set_arrival(1'795'226'000'000'000);
    handoff::Recipient& recipient = *envelope.add_recipients();
    recipient.set_address("u@There.test");
    handoff::Verdict& verdict = *made.add_verdicts();
    verdict.set_outcome(handoff::OUTCOME_BOUNCED);
    verdict.set_status("5.2.2");
    verdict.set_text("host mx.there.test[192.0.2.1] said: 552 5.2.2 full (in reply to RCPT TO command)");
    verdict.set_remote_mta("mx.there.test");
    verdict.set_diagnostic("552 5.2.2 full");
    if (kind == ReportRequest::DELAY)
        made.add_gives_up(1'796'252'460'000'000);
    return made;
}

Options plain_options()
{
    Options made;
    made.myhostname = "mail.ours.test";
    made.myorigin = "ours.test";
    made.double_bounce_sender = "double-bounce@ours.test";
    made.bounce_notice_recipient = "postmaster@ours.test";
    made.parameter = [](std::string_view name) { return name == "myhostname" ? std::optional<std::string>("mail.ours.test") : std::nullopt; };
    return made;
}

std::string expanded(std::string_view text, const ReportRequest& request)
{
    const auto made = expand_explanation(text, request, 0, plain_options());
    return made ? *made : "error: " + made.error().text();
}

Words languages(std::string_view list, std::string_view header) { return explanation_languages(list, header); }

constexpr std::string_view shipped_languages[] = {"en", "de", "fr", "es", "it", "nl"};

/// The text that this cause has in a language, of the keys that are of it.
std::string shipped(const std::string& classification, std::string_view status, std::string_view language, bool delayed)
{
    for (const std::string& key : explanation_keys({classification, status, delayed}, "there.test", {std::string(language)}))
        if (key.ends_with(fmt::format(":{}", language)))
            if (const auto text = shipped_explanation(key))
                return std::string(*text);
    return {};
}

/// Every class that conf/bounce_classes or a status gives.
std::set<std::string> all_classes()
{
    std::set<std::string> classes{"MessageExpired"};
    const std::string rules = peers::with_shipped_classes("shipped");
    for (std::size_t at = rules.find("}, {"), from = 0; from < rules.size(); from = at + 1, at = rules.find("}, {", from)) {
        const std::string_view rule = trim(std::string_view(rules).substr(from, at == rules.npos ? rules.size() - 2 - from : at - from));
        classes.emplace(rule.substr(rule.find_last_of(" \t") + 1));
        if (at == rules.npos)
            break;
    }
    for (int subject = 0; subject < 8; ++subject)
        for (int detail = 0; detail < 40; ++detail)
            classes.emplace(handoff::bounce_class(handoff::reason_of(fmt::format("5.{}.{}", subject, detail))));
    return classes;
}

std::size_t characters_in(std::string_view line)
{
    return static_cast<std::size_t>(std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

TEST_CASE("explain: languages are those of the list; what the sender reads stands where it says sender; a longer tag falls back to its beginning")
{
    CHECK(languages("", "Content-Language: de\r\n") == Words{"en"});
    CHECK(languages("de, en", "Content-Language: fr\r\n") == Words{"de", "en"});
    CHECK(languages("sender", "Content-Language: de-AT\r\n") == Words{"de-at", "de", "en"});
    CHECK(languages("sender, it, en", "Subject: x\r\nContent-Language: de (Deutsch), fr\r\n") == Words{"de", "fr", "it", "en"});
    CHECK(languages("it sender", "Content-Language: it\r\n") == Words{"it"});
    CHECK(languages("sender", "Subject: Content-Language: de\r\n\r\nContent-Language: de\r\n") == Words{"en"});
    CHECK(languages("zh-Hant-x-a", "") == Words{"zh-hant-x-a", "zh-hant", "zh"});
}

TEST_CASE("explain: Accept-Language counts where there is no Content-Language, by its weights")
{
    CHECK(languages("sender", "Accept-Language: nl;q=0.5, fr, de;q=0.75\r\n") == Words{"fr", "de", "nl", "en"});
    CHECK(languages("sender", "Accept-Language: nl\r\nContent-Language: de\r\n") == Words{"de", "en"});
    CHECK(languages("sender", "Accept-Language: nl\r\nContent-Language: ???\r\n") == Words{"nl", "en"});
    CHECK(languages("sender", "Accept-Language: *, de;q=0, es;q=0.001\r\n") == Words{"es", "en"});
    CHECK(languages("sender", "Accept-Language: de;q=0.5,\r\n en;q=nonsense\r\n") == Words{"en", "de"});
}

TEST_CASE("explain: what no tag is is none, and a field has three of them at most")
{
    CHECK(languages("sender", "Content-Language: d\xc3\xa9, -x, x--y, x-, 1a, " + std::string(36, 'a') + ", a:b\r\n") == Words{"en"});
    CHECK(languages("sender", "Content-Language: aa, bb, cc, dd\r\n") == Words{"aa", "bb", "cc", "en"});
}

TEST_CASE("explain: keys go from the precise to the general, and each has the languages before it stands alone")
{
    CHECK(explanation_keys({"QuotaIssues", "5.3.4"}, "There.test", {"de"}) ==
          Words{"there.test:QuotaIssues/3.4:de", "there.test:QuotaIssues/3.4", "there.test:QuotaIssues:de", "there.test:QuotaIssues",
                "there.test:*:de", "there.test:*", "QuotaIssues/3.4:de", "QuotaIssues/3.4", "QuotaIssues:de", "QuotaIssues", "*:de", "*"});
    CHECK(explanation_keys({"X", "", true}, "", {"de", "en"}) == Words{"delay:X:de", "delay:X:en", "delay:X", "delay:*:de", "delay:*:en", "delay:*"});
}

TEST_CASE("explain: every class has a text in every language that is shipped, of failures and of delays, and each text can be filled")
{
    const std::set<std::string> classes = all_classes();
    CHECK(classes.contains("SpamBlock"));
    CHECK(classes.contains("InvalidRecipient"));
    CHECK(classes.contains("RoutingErrors"));
    CHECK(classes.size() >= 21);
    const ReportRequest failure = one_failure(), delay = one_failure(ReportRequest::DELAY);
    for (const std::string& one : classes)
        for (const std::string_view language : shipped_languages) {
            CAPTURE(one);
            CAPTURE(language);
            CHECK(shipped_explanation(fmt::format("{}:{}", one == "Uncategorized" ? "*" : one, language)));
            std::set<std::string> different;
            for (const std::string_view status : {"5.0.0", "5.3.4", "5.2.3", "5.4.6", "5.4.3", "5.6.7", "5.5.3", "5.7.30", "5.7.4", "5.7.5"}) {
                const std::string text = shipped(one, status, language, false);
                REQUIRE(!text.empty());
                CHECK(!expanded(text, failure).starts_with("error"));
                CHECK(!fault_of_explanation(one, text, plain_options().parameter));
            }
            const std::string later = shipped(one, "4.0.0", language, true);
            CHECK(expanded(later, delay).find("2026-12-02 ") != std::string::npos);
        }
    for (const auto& [one, status] : {std::pair{"QuotaIssues", "5.3.4"},
                                      {"QuotaIssues", "5.2.3"},
                                      {"RoutingErrors", "5.4.6"},
                                      {"BadDomain", "5.4.3"},
                                      {"ContentRelated", "5.6.7"},
                                      {"ProtocolErrors", "5.5.3"},
                                      {"Uncategorized", "5.7.30"},
                                      {"Uncategorized", "5.7.4"}})
        for (const std::string_view language : shipped_languages)
            CHECK(shipped(one, status, language, false) != shipped(one, "5.0.0", language, false));
}

TEST_CASE("explain: a text names who, where and why; who refuses here is this host")
{
    ReportRequest request = one_failure();
    CHECK(expanded("$recipient|${recipient_domain}|${sender}|${host}|${reply}|${status}|$myhostname|$$", request) ==
          "u@There.test|There.test|\"a b\"@ours.test|mx.there.test|552 5.2.2 full|5.2.2|mail.ours.test|$");
    request.mutable_verdicts(0)->clear_remote_mta();
    request.mutable_verdicts(0)->clear_diagnostic();
    request.mutable_verdicts(0)->set_text("user unknown");
    CHECK(expanded("${host}: ${reply}", request) == "mail.ours.test: user unknown");
}

TEST_CASE("explain: a warning of delay says until when, in the zone of dates")
{
    const ReportRequest request = one_failure(ReportRequest::DELAY);
    CHECK(expanded("until ${retry_until}", request) == "until 2026-12-02 23:01 +0000");
    Options west = plain_options();
    west.zone = [](WallTime) { return std::chrono::minutes{-210}; };
    CHECK(expand_explanation("$retry_until", request, 0, west).value() == "2026-12-02 19:31 -0330");
}

TEST_CASE("explain: a text with a name that there is not is wrong as a whole, and so is one that is not UTF-8")
{
    CHECK(expanded("to ${recipent}", one_failure()) == "error: nothing is called \"${recipent}\"");
    CHECK(expanded("until $retry_until", one_failure()) == "error: nothing is called \"$retry_until\"");
    CHECK(expanded("to ${recipient", one_failure()) == "error: nothing is called \"${recipient\"");
    CHECK(expanded("gr\xfc\xdf", one_failure()) == "error: the text is not UTF-8");
    const auto known = plain_options().parameter;
    CHECK(fault_of_explanation("X:de", "$recipient $myhostname", known) == std::nullopt);
    CHECK(fault_of_explanation("X:de", "${retry_until}", known) == "nothing is called \"${retry_until}\"");
    CHECK(fault_of_explanation("delay:X:de", "${retry_until}", known) == std::nullopt);
    CHECK(fault_of_explanation("X", "gr\xfc\xdf", known) == "the text is not UTF-8");
}

TEST_CASE("explain: what others say is one line of bounded length, and nothing in it is asked for again")
{
    ReportRequest request = one_failure();
    request.mutable_verdicts(0)->set_diagnostic("550 a\r\nStatus: 2.0.0\xe2\x80\xa8x\xc2\x85y\xe2\x80\xaez\xe2\x81\xa6 ${sender} gr\xc3\xbc\xc3\x9f");
    CHECK(expanded("${reply}", request) == "550 a??Status: 2.0.0?x?y?z? ${sender} gr\xc3\xbc\xc3\x9f");
    request.mutable_verdicts(0)->set_diagnostic("550 " + std::string(1000, 'x'));
    CHECK(expanded("${reply}", request) == "550 " + std::string(396, 'x') + "...");
}

TEST_CASE("explain: a paragraph has lines of 79 characters, however many octets each has")
{
    std::string text;
    for (int i = 0; i < 100; ++i)
        text += "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\n ";
    std::string all = paragraph(text);
    CHECK(all.ends_with("\xc3\xbc\r\n"));
    std::size_t longest = 0;
    for (const std::string_view line : split(all, "\r\n"))
        longest = std::max(longest, characters_in(line));
    CHECK(longest == 79);                                                    // 16 words of 4 with 15 spaces
    CHECK(paragraph("a  b\r\nc") == "a b c\r\n");
    CHECK(paragraph(std::string(79, 'a') + " b") == std::string(79, 'a') + "\r\nb\r\n");
    CHECK(paragraph("a " + std::string(100, 'b')) == "a\r\n" + std::string(100, 'b') + "\r\n");
}

TEST_CASE("explain: no line is longer than SMTP has it, no character is cut, and none can be a boundary")
{
    std::string word = "x";
    for (int i = 0; i < 1000; ++i)
        word += "\xe2\x82\xac";
    for (const std::string_view line : split(paragraph(word), "\r\n")) {
        CHECK(line.size() <= 998);
        CHECK(is_valid_utf8(line));
    }
    CHECK(paragraph("--OLD.1/mail") == " --OLD.1/mail\r\n");
    CHECK(paragraph(std::string(79, 'a') + " --b") == std::string(79, 'a') + "\r\n --b\r\n");
    CHECK(paragraph("a --b") == "a --b\r\n");
}

TEST_CASE("report: an explanation stands once above those whom it concerns, and who has none comes first")
{
    ReportRequest request = one_failure();
    for (std::uint32_t i = 1; i < 4; ++i) {
        *request.mutable_envelope()->add_recipients() = request.envelope().recipients(0);
        request.mutable_envelope()->mutable_recipients(static_cast<int>(i))->set_index(i);
        request.mutable_envelope()->mutable_recipients(static_cast<int>(i))->set_address(fmt::format("u{}@there.test", i));
        *request.add_verdicts() = request.verdicts(0);
        request.mutable_verdicts(static_cast<int>(i))->set_recipient(i);
    }
    const auto text_of = [](const handoff::ReportReply& reply, int at = 0) { return reply.messages(at).content().inline_octets(); };
    const std::string text = text_of(compose(request, plain_options(), {"It is full.", "gr\xc3\xbc\xc3\x9f", "It is full.", ""}));
    const std::string part = text.substr(text.find("The mail system"));
    std::vector<std::size_t> places;
    for (const char* piece : {"\r\n<u3@there.test>: ", "\r\n\r\nIt is full.\r\n\r\n<u@There.test>: ", "\r\n<u2@there.test>: ",
                              "\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n\r\n<u1@there.test>: "})
        places.push_back(part.find(piece));
    CHECK(places.back() < part.find("Delivery report"));
    CHECK(std::ranges::is_sorted(places));
    CHECK(part.find("It is full.", part.find("It is full.") + 1) == part.npos);
    CHECK(text.find("text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n") != text.npos);
    // The postmaster knows; and what nobody explains is as it was.
    Options told = plain_options();
    told.notify.bounce = true;
    const auto both = compose(request, told, {"It is full.", "", "", ""});
    REQUIRE(both.messages_size() == 2);
    CHECK(text_of(both).find("It is full.") != std::string::npos);
    CHECK(text_of(both, 1).find("It is full.") == std::string::npos);
    CHECK(text_of(compose(request, plain_options(), {"", "", "", ""})) == text_of(compose(request, plain_options())));
}

TEST_CASE("report: a template that is no UTF-8 says its own charset, and no explanation stands beside it")
{
    Options options = plain_options();
    options.templates.failure.charset = "iso-8859-1";
    options.templates.failure.text = "Gr\xfc\xdf\n";
    std::string text = compose(one_failure(), options, {"gr\xc3\xbc\xc3\x9f"}).messages(0).content().inline_octets();
    CHECK(text.find("text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n") != text.npos);
    CHECK(text.find("gr\xc3\xbc\xc3\x9f") == text.npos);
    options.templates.failure.text = "Gr\xc3\xbc\xc3\x9f\n";
    text = compose(one_failure(), options, {"gr\xc3\xbc\xc3\x9f"}).messages(0).content().inline_octets();
    CHECK(text.find("text/plain; charset=utf-8\r\n") != text.npos);
    CHECK(text.find("gr\xc3\xbc\xc3\x9f") != text.npos);
}
