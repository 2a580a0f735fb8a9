#include "send/tls_status.hpp"

namespace posthorn::send {

namespace {

std::string level_status(const TlsDemand& demand, TlsEnd end)
{
    const std::string asked(level_name(demand.asked));
    // No TLS was asked for: there is nothing that could be missing.
    if (demand.asked == TlsLevel::none)
        return end == TlsEnd::secured ? std::string(level_name(TlsLevel::encrypt)) : asked;             // smtp_tls_wrappermode asks by itself
    switch (end) {
    case TlsEnd::undecided: return asked + "?";
    case TlsEnd::clear: return asked + ":none";
    case TlsEnd::no_encryption:
    case TlsEnd::no_starttls: return "!" + asked + ":none";
    case TlsEnd::no_match: return "!" + asked + ":encrypt";
    case TlsEnd::no_requiretls:
    case TlsEnd::secured: break;
    }
    if (demand.half_dane)
        return asked + ":halfdane";
    const bool as_asked = demand.level == demand.asked || (demand.level == TlsLevel::dane && demand.asked == TlsLevel::dane_only);
    return as_asked ? asked : asked + ":" + std::string(level_name(demand.level));
}

std::string requirement_status(const TlsDemand& demand, TlsEnd end, bool offers_requiretls)
{
    switch (end) {
    case TlsEnd::undecided: return "requiretls?";
    case TlsEnd::no_encryption: return "!requiretls:noencryption";
    case TlsEnd::no_starttls: return "!requiretls:nostarttls";
    case TlsEnd::no_match: return "!requiretls:nocertmatch";
    case TlsEnd::no_requiretls: return "!requiretls:none";
    case TlsEnd::clear: return "requiretls:none";
    case TlsEnd::secured: break;
    }
    if (!offers_requiretls)
        return "requiretls:none";
    return authenticated(demand.level) ? "requiretls" : "requiretls:nocertmatch";
}

}  // namespace

std::string tls_status(const TlsDemand& demand, TlsEnd end, RequireTls required, bool offers_requiretls)
{
    if (end == TlsEnd::no_match && demand.asked == TlsLevel::none)
        end = TlsEnd::no_encryption;
    std::string status = level_status(demand, end);
    if (required != RequireTls::disable)
        status += "/" + requirement_status(demand, end, offers_requiretls);
    return status;
}

}  // namespace posthorn::send
