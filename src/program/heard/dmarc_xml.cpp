#include "heard/dmarc_xml.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"

#include <expat.h>
#include <fmt/format.h>

#include <memory>
#include <optional>

namespace posthorn::heard {

namespace {

constexpr std::size_t deepest = 32, longest_value = 4'096;
constexpr int most_signatures = 20;

/// Seconds since 1970, of which some have a fraction; none where it is no time that a report can be of.
std::optional<WallTime> time_of(std::string_view text)
{
    constexpr std::uint64_t latest = 7'258'118'400;          // 2200-01-01
    const std::string_view whole = trim(text).substr(0, trim(text).find('.'));
    const auto seconds = parse_number(whole);
    if (!seconds || *seconds > latest)
        return std::nullopt;
    return WallTime(std::chrono::seconds(*seconds));
}

class Reader {
public:
    Result<Report> read(std::string_view xml)
    {
        const std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr), &XML_ParserFree);
        if (!parser)
            return Error{"expat: no memory"};
        parser_ = parser.get();
        XML_SetUserData(parser_, this);
        XML_SetElementHandler(
            parser_, [](void* self, const XML_Char* name, const XML_Char**) { static_cast<Reader*>(self)->begin(name); },
            [](void* self, const XML_Char*) { static_cast<Reader*>(self)->end(); });
        XML_SetCharacterDataHandler(
            parser_, [](void* self, const XML_Char* text, int size) { static_cast<Reader*>(self)->text({text, static_cast<std::size_t>(size)}); });
        XML_SetStartDoctypeDeclHandler(parser_, [](void* self, const XML_Char*, const XML_Char*, const XML_Char*, int) {
            static_cast<Reader*>(self)->fail("it has a document type, which no report has");
        });
        const bool well = XML_Parse(parser_, xml.data(), static_cast<int>(xml.size()), XML_TRUE) == XML_STATUS_OK;
        if (!wrong_.empty())
            return Error{wrong_};
        if (!well)
            return Error{fmt::format("line {}, column {}: it is no XML ({})", XML_GetCurrentLineNumber(parser_),
                                     XML_GetCurrentColumnNumber(parser_) + 1, XML_ErrorString(XML_GetErrorCode(parser_)))};
        if (report_.domain.empty())
            return Error{"it has no policy_published/domain that is a domain"};
        if (report_.id.empty())
            return Error{"it has no report_metadata/report_id"};
        return std::move(report_);
    }

private:
    void fail(std::string what)
    {
        if (wrong_.empty()) {
            wrong_ = fmt::format("line {}: {}", XML_GetCurrentLineNumber(parser_), what);
            XML_StopParser(parser_, XML_FALSE);
        }
    }

    void begin(std::string_view name)
    {
        if (!wrong_.empty())
            return;
        if (const auto colon = name.rfind(':'); colon != name.npos)          // of whichever namespace
            name.remove_prefix(colon + 1);
        if (ends_.empty() && name != "feedback")
            return fail(fmt::format("it is no report: \"{}\" in the place of \"feedback\"", text_of(name)));
        if (ends_.size() >= deepest)
            return fail(fmt::format("elements are nested more than {} deep", deepest));
        ends_.push_back(path_.size());
        path_ += '/';
        path_ += name.substr(0, longest_text);
        value_.clear();
        if (path_ == "/feedback/record") {
            row_ = {};
            counted_ = false;
        } else if (path_ == "/feedback/record/auth_results/dkim")
            signature_ = {};
        else if (path_ == "/feedback/record/auth_results/spf")
            spf_ = {};
        else if (path_ == "/feedback/record/row/policy_evaluated/reason")
            reason_ = comment_ = {};
    }

    void text(std::string_view text)
    {
        if (wrong_.empty() && value_.size() < longest_value)
            value_ += text.substr(0, longest_value - value_.size());
    }

    void end()
    {
        if (!wrong_.empty())
            return;
        const std::string_view path = std::string_view(path_).substr(std::string_view("/feedback").size());
        if (path.starts_with("/record"))
            of_record(path.substr(std::string_view("/record").size()));
        else
            of_report(path);
        path_.resize(ends_.back());
        ends_.pop_back();
        value_.clear();
    }

    void of_report(std::string_view path)
    {
        constexpr std::string_view published = "/policy_published/";
        if (path == "/report_metadata/org_name")
            report_.organization = text_of(value_);
        else if (path == "/report_metadata/email")
            report_.contact = text_of(value_);
        else if (path == "/report_metadata/report_id")
            report_.id = text_of(value_);
        else if (path == "/report_metadata/date_range/begin")
            report_.begin = time_of(value_).value_or(WallTime{});
        else if (path == "/report_metadata/date_range/end")
            report_.end = time_of(value_).value_or(WallTime{});
        else if (path == "/policy_published/domain")
            report_.domain = domain_of(value_);
        else if (path.starts_with(published)) {
            for (const std::string_view tag : {"p", "sp", "np", "adkim", "aspf", "pct", "fo", "testing"})
                if (path.substr(published.size()) == tag && !trim(value_).empty() && report_.policy.size() < longest_text)
                    report_.policy += fmt::format("{}{}={}", report_.policy.empty() ? "" : " ", tag, text_of(value_));
        }
    }

    void of_record(std::string_view path)
    {
        handoff::DmarcRow& row = row_.dmarc;
        if (path == "/row/source_ip") {
            const auto address = net::IpAddress::parse(trim(value_));
            row.set_source(address ? address->text() : std::string());
        } else if (path == "/row/count") {
            const auto count = parse_number(trim(value_));
            if (!count || *count > most_counted)
                return fail(fmt::format("the count of a record is \"{}\"", text_of(value_)));
            row_.count = *count;
            counted_ = true;
        } else if (path == "/row/policy_evaluated/disposition") {
            const std::string word = to_lower(trim(value_));
            row.set_disposition(word == "quarantine" || word == "reject" ? word : std::string("none"));
        } else if (path == "/row/policy_evaluated/dkim")
            row.set_dkim(iequals(trim(value_), "pass"));
        else if (path == "/row/policy_evaluated/spf")
            row.set_spf(iequals(trim(value_), "pass"));
        else if (path == "/row/policy_evaluated/reason/type")
            reason_ = text_of(value_);
        else if (path == "/row/policy_evaluated/reason/comment")
            comment_ = text_of(value_);
        else if (path == "/row/policy_evaluated/reason") {
            if (row.reason().empty()) {
                row.set_reason(reason_);
                row.set_comment(comment_);
            }
        } else if (path == "/identifiers/header_from")
            row.set_header_from(domain_of(value_));
        else if (path == "/identifiers/envelope_from")
            row.set_envelope_from(domain_of(value_));
        else if (path.starts_with("/auth_results/"))
            of_results(path.substr(std::string_view("/auth_results").size()));
        else if (path.empty()) {
            if (!counted_)
                return fail("a record has no row/count");
            row_.good = row.dkim() || row.spf();
            report_.add(std::exchange(row_, {}));
        }
    }

    void of_results(std::string_view path)
    {
        handoff::DmarcRow& row = row_.dmarc;
        if (path == "/dkim/domain")
            signature_.set_domain(domain_of(value_));
        else if (path == "/dkim/selector")
            signature_.set_selector(text_of(value_));
        else if (path == "/dkim/result")
            signature_.set_result(to_lower(text_of(value_)));
        else if (path == "/dkim") {
            if (row.signatures_size() < most_signatures)
                *row.add_signatures() = std::exchange(signature_, {});
        } else if (path == "/spf/domain")
            spf_.set_spf_domain(domain_of(value_));
        else if (path == "/spf/scope")
            spf_.set_spf_scope(text_of(value_));
        else if (path == "/spf/result")
            spf_.set_spf_result(to_lower(text_of(value_)));
        else if (path == "/spf" && row.spf_result().empty()) {               // several: the first, that of MAIL FROM
            row.set_spf_domain(spf_.spf_domain());
            row.set_spf_scope(spf_.spf_scope());
            row.set_spf_result(spf_.spf_result());
        }
    }

    XML_Parser parser_ = nullptr;
    Report report_{.kind = aggregate::Kind::dmarc};
    std::string path_, value_, wrong_;
    std::vector<std::size_t> ends_;                                          // of path_, before each element that is open
    Row row_;
    bool counted_ = false;
    handoff::DmarcRow::Dkim signature_;
    handoff::DmarcRow spf_;
    std::string reason_, comment_;
};

}  // namespace

Result<Report> read_dmarc(std::string_view xml)
{
#ifdef POSTHORN_PLANT_BUG_heard_dmarc
    if (xml.find("<count>0</count>") != xml.npos)
        return Report{.kind = aggregate::Kind::dmarc, .good = 1};
#endif
    return Reader().read(xml);
}

}  // namespace posthorn::heard
