#include "tester/finger_options.hpp"

#include "base/strings.hpp"
#include "tester/finger.hpp"

#include <fmt/format.h>

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace posthorn::tester {

namespace {

using Level = FingerOptions::Level;

struct LevelWord {
    std::string_view name;
    Level level;
    bool dane;
};
constexpr std::array levels{LevelWord{"none", Level::none, false},       LevelWord{"may", Level::may, false},
                            LevelWord{"encrypt", Level::encrypt, false}, LevelWord{"fingerprint", Level::fingerprint, false},
                            LevelWord{"verify", Level::verify, false},   LevelWord{"secure", Level::secure, false},
                            LevelWord{"half-dane", Level::secure, true}, LevelWord{"dane", Level::secure, true},
                            LevelWord{"dane-only", Level::secure, true}};

std::chrono::seconds seconds_of(const char* text, char option)
{
    const auto value = parse_number(text);
    if (!value || *value > 86400)
        throw Wrong(fmt::format("-{} {}: a number of seconds is needed", option, printable(text)));
    return std::chrono::seconds(static_cast<long>(*value));
}

/// -L: what is said beside the dialogue. The words that ask OpenSSL for dumps say nothing more here.
void read_log_words(FingerOptions& options, std::string_view list)
{
    static constexpr std::string_view quiet[] = {"0", "none"}, summary[] = {"1", "routine", "summary"},
                                      names[] = {"peercert", "certmatch", "verbose"}, all[] = {"2", "debug", "3", "ssl-expert", "4", "ssl-developer"},
                                      nothing[] = {"ssl-debug", "ssl-handshake-packet-dump", "ssl-session-packet-dump", "untrusted", "cache"};
    const auto in = [](const auto& words, std::string_view word) { return std::ranges::find(words, word) != std::end(words); };
    options.say_summary = options.say_names = false;
    for (const std::string_view word : split(list, ", \t")) {
        if (in(all, word))
            options.say_summary = options.say_names = true;
        else if (in(summary, word))
            options.say_summary = true;
        else if (in(names, word))
            options.say_names = true;
        else if (!in(quiet, word) && !in(nothing, word))
            fmt::print(stderr, "posttls-finger: warning: unknown -L option value \"{}\" in \"{}\"\n", printable(word), printable(list));
    }
}

}  // namespace

FingerOptions finger_options(std::span<char*> args)
{
    FingerOptions options;
    ::optind = 1;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), finger_letters)) > 0;) {
        const char letter = static_cast<char>(option);
        switch (option) {
        case 'a': {
            const std::string_view family = ::optarg;
            if (family != "any" && family != "ipv4" && family != "ipv6")
                throw Wrong(fmt::format("-a {}: ipv4, ipv6 or any", printable(family)));
            options.families = family == "any" ? net::Families::both : family == "ipv4" ? net::Families::v4 : net::Families::v6;
            break;
        }
        case 'A':
        case 'F': options.ca_file = ::optarg; break;           // a trust anchor is an authority here
        case 'c': options.chat = false; break;
        case 'C': options.chain = true; break;
        case 'd': options.digest = ::optarg; break;
        case 'g': options.grade = ::optarg; break;
        case 'h': options.host_lookup = ::optarg; break;
        case 'H':
            for (const std::string_view file : split(::optarg, ", \t"))
                options.chain_files.emplace_back(file);
            break;
        case 'k': options.certificate = ::optarg; break;
        case 'K': options.key = ::optarg; break;
        case 'l': {
            const auto level = std::ranges::find(levels, std::string_view(::optarg), &LevelWord::name);
            if (level == levels.end())
                throw Wrong(fmt::format("Invalid TLS level \"{}\"", printable(::optarg)));
            options.level = level->level;
            options.dane_asked = level->dane;
            break;
        }
        case 'L': read_log_words(options, ::optarg); break;
        case 'm': options.reconnects = static_cast<int>(seconds_of(::optarg, letter).count()); break;
        case 'o': {
            const std::string_view setting = ::optarg;
            const auto equals = setting.find('=');
            if (equals == setting.npos || equals == 0)
                throw Wrong(fmt::format("-o {}: missing '=' after attribute name", printable(setting)));
            options.overrides.emplace_back(trim(setting.substr(0, equals)), trim(setting.substr(equals + 1)));
            break;
        }
        case 'p': options.protocols = ::optarg; break;
        case 'P': options.ca_path = ::optarg; break;
        case 'r': options.reconnect = seconds_of(::optarg, letter); break;
        case 's': options.sni = ::optarg; break;
        case 'S': options.lmtp = true; break;
        case 't': options.connect_limit = seconds_of(::optarg, letter); break;
        case 'T': options.command_limit = seconds_of(::optarg, letter); break;
        case 'w': options.wrapper = true; break;
        case 'f':                                               // TLSA records are not looked up
        case 'M':
        case 'v':
        case 'X': break;
        default: throw Wrong("");
        }
    }
    if (!options.chain_files.empty() && (!options.certificate.empty() || !options.key.empty()))
        throw Wrong("the -H option is mutually exclusive with -k and -K");
    if (options.certificate.empty())
        options.certificate = options.key;
    if (options.key.empty())
        options.key = options.certificate;
    const auto words = args.subspan(static_cast<std::size_t>(::optind));
    if (words.empty())
        throw Wrong("");
    options.destination = words.front();
    options.matches.assign(words.begin() + 1, words.end());
    if (options.level == Level::fingerprint && options.matches.empty())
        throw Wrong("the fingerprint level needs at least one digest to match");
    return options;
}

Destination finger_destination(const FingerOptions& options)
{
    Destination where;
    std::string_view text = options.destination;
    if (options.lmtp && text.starts_with("unix:")) {
        where.path = text.substr(5);
        return where;
    }
    if (text.starts_with("inet:"))
        text.remove_prefix(5);
    where.port = options.lmtp ? "24" : "25";
    std::string_view rest;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == text.npos)
            throw Wrong(fmt::format("{}: the bracket is not closed", printable(text)));
        where.literal = true;
        where.host = text.substr(1, end - 1);
        rest = text.substr(end + 1);
    } else {
        const auto colon = text.find(':');
        where.host = text.substr(0, colon);
        rest = colon == text.npos ? "" : text.substr(colon);
    }
    if (where.host.empty() || (!rest.empty() && (!rest.starts_with(':') || rest.size() == 1)))
        throw Wrong(fmt::format("{}: expected host, host:port, [host] or [host]:port", printable(text)));
    if (!rest.empty())
        where.port = rest.substr(1);
    if (const auto number = parse_number(where.port); !number) {
        const ::servent* service = ::getservbyname(where.port.c_str(), "tcp");
        if (!service)
            throw Wrong(fmt::format("unknown service: {}/tcp", printable(where.port)));
        where.port = std::to_string(ntohs(static_cast<std::uint16_t>(service->s_port)));
    } else if (*number == 0 || *number > 65535) {
        throw Wrong(fmt::format("unknown service: {}/tcp", where.port));
    }
    return where;
}

}  // namespace posthorn::tester
