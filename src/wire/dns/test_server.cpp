#include "dns/test_server.hpp"

#include "base/strings.hpp"
#include "dns/wire.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace posthorn::dns {

namespace {

constexpr std::size_t udp_plain = 512;

std::string plain(std::string_view name)
{
    if (name.ends_with('.'))
        name.remove_suffix(1);
    return to_lower(name);
}

/// Words, quoted ones without their quotes.
std::vector<std::string> words_of(std::string_view line)
{
    std::vector<std::string> words;
    for (std::size_t i = 0; i < line.size();) {
        if (is_space(line[i])) {
            ++i;
            continue;
        }
        if (line[i] == ';')
            break;
        const bool quoted = line[i] == '"';
        std::string& word = words.emplace_back();
        for (i += quoted; i < line.size() && (quoted ? line[i] != '"' : !is_space(line[i])); ++i)
            word += line[i];
        i += quoted;
    }
    return words;
}

std::optional<std::string> rdata_of(Type type, std::span<const std::string> words, std::string& target)
{
    std::string out;
    const auto number = [&](std::size_t i) { return i < words.size() ? parse_number(words[i]).value_or(1 << 20) : std::uint64_t{1 << 20}; };
    const auto short_number = [&](std::size_t i) {
        put_u16(out, static_cast<unsigned>(number(i)));
        return number(i) <= 65535;
    };
    switch (type) {
    case Type::a:
    case Type::aaaa: {
        const auto address = words.size() == 1 ? net::IpAddress::parse(words[0]) : std::nullopt;
        if (!address || address->is_v6() != (type == Type::aaaa))
            return std::nullopt;
        return std::string(address->octets());
    }
    case Type::mx:
        if (words.size() != 2 || !short_number(0) || !put_name(out, words[1]))
            return std::nullopt;
        return out;
    case Type::cname:
    case Type::ptr:
    case Type::ns:
        if (words.size() != 1 || !put_name(out, words[0]))
            return std::nullopt;
        target = plain(words[0]);
        return out;
    case Type::srv:
        if (words.size() != 4 || !short_number(0) || !short_number(1) || !short_number(2) || !put_name(out, words[3]))
            return std::nullopt;
        return out;
    case Type::txt:
        for (const std::string& word : words) {
            if (word.size() > 255)
                return std::nullopt;
            out += static_cast<char>(word.size());
            out += word;
        }
        return words.empty() ? std::nullopt : std::optional(out);
    case Type::tlsa:
        if (words.size() != 4)
            return std::nullopt;
        for (std::size_t i = 0; i < 3; ++i) {
            if (number(i) > 255)
                return std::nullopt;
            out += static_cast<char>(number(i));
        }
        for (std::size_t i = 0; i + 1 < words[3].size(); i += 2)
            out += static_cast<char>(std::stoi(words[3].substr(i, 2), nullptr, 16));
        return out;
    case Type::dnskey:
    case Type::rrsig: {
        const bool signature = type == Type::rrsig;
        const auto octets = words.size() == (signature ? 9 : 4) ? base64_decode(words.back()) : std::nullopt;
        if (!octets)
            return std::nullopt;
        if (signature) {
            const auto covered = type_of(words[0]);
            if (!covered)
                return std::nullopt;
            put_u16(out, static_cast<unsigned>(*covered));
            put_u16(out, static_cast<unsigned>(number(1) << 8 | number(2)));        // algorithm, labels
            for (std::size_t i = 3; i < 6; ++i)                       // time to live, expiration, inception
                put_u32(out, static_cast<std::uint32_t>(number(i)));
            put_u16(out, static_cast<unsigned>(number(6)));           // key tag
            put_name(out, words[7]);
        } else {
            put_u16(out, static_cast<unsigned>(number(0)));
            put_u16(out, static_cast<unsigned>(number(1) << 8 | number(2)));        // protocol, algorithm
        }
        return out + *octets;
    }
    default: return std::nullopt;
    }
}

/// Does this RRSIG sign records of that type?
bool signs(std::string_view rdata, Type type) { return Reader(rdata).u16() == static_cast<std::uint16_t>(type); }

TestZone must_parse(std::string_view text)
{
    auto zone = TestZone::parse(text);
    if (!zone)
        throw std::runtime_error("DNS test server: " + zone.error().what());
    return *std::move(zone);
}

bool below(std::string_view name, std::string_view top)
{
    return name == top || (name.size() > top.size() && name.ends_with(top) && name[name.size() - top.size() - 1] == '.');
}

}  // namespace

Result<TestZone> TestZone::parse(std::string_view text)
{
    TestZone zone;
    for (const std::string_view line : split_exact(text, '\n'))
        TRY_VOID(zone.add_line(line));
    return zone;
}

Result<void> TestZone::add_line(std::string_view line)
{
    const auto words = words_of(line);
    if (words.empty())
        return {};
    const Error wrong{fmt::format("bad zone line: {}", trim(line))};
    if (words[0].starts_with('@')) {
        Behaviour behaviour;
        if (words[0] == "@delay" && words.size() == 3) {
            behaviour.delay = std::chrono::milliseconds(parse_number(words[1]).value_or(0));
        } else {
            constexpr std::array manners{std::pair{"@servfail", Manner::servfail}, std::pair{"@refuse", Manner::refuse},
                                         std::pair{"@drop", Manner::drop}, std::pair{"@truncate", Manner::truncate}};
            for (const auto& [word, manner] : manners)
                if (words[0] == word)
                    behaviour.manner = manner;
            if (behaviour.manner == Manner::normal || words.size() != 2)
                return wrong;
        }
        behaviour.name = plain(words.back());
        behaviours_.push_back(std::move(behaviour));
        return {};
    }
    std::size_t i = 1;
    std::uint32_t ttl = 300;
    if (i < words.size())
        if (const auto number = parse_number(words[i])) {
            ttl = static_cast<std::uint32_t>(*number);
            ++i;
        }
    if (i < words.size() && iequals(words[i], "IN"))
        ++i;
    const auto type = i < words.size() ? type_of(words[i]) : std::nullopt;
    if (!type)
        return wrong;
    std::string target;
    auto rdata = rdata_of(*type, std::span(words).subspan(i + 1), target);
    std::string check;
    if (!rdata || !put_name(check, words[0]))
        return wrong;
    names_[plain(words[0])].push_back({*type, ttl, *std::move(rdata), std::move(target)});
    return {};
}

const std::vector<TestZone::Data>* TestZone::at(const std::string& name) const
{
    if (const auto found = names_.find(name); found != names_.end())
        return &found->second;
    if (exists(name))
        return nullptr;                                               // an empty name between others: no wildcard reaches it
    for (auto dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1))
        if (const auto wild = names_.find("*" + name.substr(dot)); wild != names_.end())
            return &wild->second;
    return nullptr;
}

bool TestZone::exists(const std::string& name) const
{
    for (const auto& [known, data] : names_)
        if (below(known, name))
            return true;
    return false;
}

TestZone::Behaviour TestZone::behaviour(const std::string& name) const
{
    Behaviour all;
    for (const Behaviour& one : behaviours_)
        if (below(name, one.name)) {
            if (one.manner != Manner::normal)
                all.manner = one.manner;
            all.delay += one.delay;
        }
    return all;
}

TestZone::Reply TestZone::answer(std::string_view question, bool tcp) const
{
    Reader reader(question);
    const std::uint16_t id = reader.u16(), flags = reader.u16(), questions = reader.u16();
    reader.u16();
    reader.u16();
    const std::uint16_t additional = reader.u16();
    const std::size_t name_at = reader.position();
    std::string name = to_lower(reader.name());
    const Type type = static_cast<Type>(reader.u16());
    reader.u16();
    if (!reader.ok() || questions != 1 || (flags & 0x8000))
        return {};
    const std::string_view asked = question.substr(name_at, reader.position() - name_at);
    std::size_t room = udp_plain;
    bool edns = false, dnssec = false;
    if (additional > 0) {
        reader.name();
        if (static_cast<Type>(reader.u16()) == Type::opt) {
            room = std::max<std::size_t>(reader.u16(), udp_plain);
            edns = true;
            dnssec = (reader.u32() & 0x8000) != 0;
        }
    }
    const Behaviour manner = behaviour(name);
    if (manner.manner == Manner::drop)
        return {{}, manner.delay};

    std::string answers;
    unsigned count = 0, rcode = 0;
    if (manner.manner == Manner::servfail)
        rcode = 2;
    else if (manner.manner == Manner::refuse)
        rcode = 5;
    std::string owner = name;
    for (int hops = 0; rcode == 0 && hops < 10; ++hops) {
        const std::vector<Data>* data = at(owner);
        if (!data && !exists(owner))
            rcode = 3;
        if (!data)
            break;
        const Data* alias = nullptr;
        bool matched = false;
        for (const Data& one : *data) {
            const bool match = one.type == type || (dnssec && one.type == Type::rrsig && (signs(one.rdata, type) || signs(one.rdata, Type::cname)));
            if (one.type == Type::cname && !match)
                alias = &one;
            if (!match && one.type != Type::cname)
                continue;
            matched |= one.type == type;
            put_name(answers, owner);
            put_u16(answers, static_cast<unsigned>(one.type));
            put_u16(answers, 1);
            put_u32(answers, one.ttl);
            put_u16(answers, static_cast<unsigned>(one.rdata.size()));
            answers += one.rdata;
            ++count;
        }
        if (matched || !alias)
            break;
        owner = alias->target;
    }
    // Absence is only kept by a resolver if a SOA says for how long.
    std::string authority;
    if (rcode == 3 || (rcode == 0 && count == 0)) {
        const auto dot = owner.rfind('.');
        put_name(authority, dot == owner.npos ? owner : owner.substr(dot + 1));
        put_u16(authority, static_cast<unsigned>(Type::soa));
        put_u16(authority, 1);
        put_u32(authority, 60);
        std::string soa;
        put_name(soa, "ns.test");
        put_name(soa, "hostmaster.test");
        for (const std::uint32_t number : {1U, 3600U, 600U, 86400U, 60U})
            put_u32(soa, number);
        put_u16(authority, static_cast<unsigned>(soa.size()));
        authority += soa;
    }
    const std::size_t whole = 12 + asked.size() + answers.size() + authority.size() + (edns ? 11 : 0);
    const bool cut = !tcp && (whole > room || manner.manner == Manner::truncate);
    Reply reply;
    reply.delay = manner.delay;
    std::string& out = reply.message;
    put_u16(out, id);
    put_u16(out, 0x8480U | (flags & 0x0100U) | (cut ? 0x0200U : 0U) | rcode);      // response, authoritative, recursion available
    put_u16(out, 1);
    put_u16(out, cut ? 0 : count);
    put_u16(out, cut || authority.empty() ? 0 : 1);
    put_u16(out, edns ? 1 : 0);
    out += asked;
    if (!cut)
        out += answers + authority;
    if (edns) {
        out += '\0';
        put_u16(out, static_cast<unsigned>(Type::opt));
        put_u16(out, 4096);
        put_u32(out, dnssec ? 0x8000 : 0);
        put_u16(out, 0);
    }
    return reply;
}

struct TestServer::Core {
    using udp = asio::ip::udp;
    using tcp = asio::ip::tcp;

    Core(Executor on, std::string_view text, std::uint16_t port) : executor(on), zone(must_parse(text)), datagrams(on), acceptor(on), tasks(on)
    {
        // One number for both: tried until TCP has the port that UDP got.
        for (int attempt = 0;; ++attempt) {
            boost::system::error_code error;
            datagrams = udp::socket(on, udp::endpoint(asio::ip::address_v4::loopback(), port));
            acceptor = tcp::acceptor(on);
            acceptor.open(tcp::v4());
            acceptor.set_option(tcp::acceptor::reuse_address(true));
            acceptor.bind(tcp::endpoint(asio::ip::address_v4::loopback(), datagrams.local_endpoint().port()), error);
            if (!error)
                break;
            if (port != 0 || attempt == 20)
                throw std::runtime_error("DNS test server: " + error.message());
        }
        acceptor.listen();
    }

    std::string_view note(std::string_view question)
    {
        Reader reader(question, std::min<std::size_t>(12, question.size()));
        const std::string name = to_lower(reader.name());
        ++asked[name + '/' + std::string(type_name(static_cast<Type>(reader.u16())))];
        ++all;
        return question;
    }

    awaitable<void> serve_datagrams()
    {
        std::array<char, 4096> room{};
        while (!co_await cancelled()) {
            udp::endpoint from;
            const auto [error, got] = co_await datagrams.async_receive_from(asio::buffer(room), from, asio::as_tuple(use_awaitable));
            if (error == asio::error::operation_aborted)
                continue;
            if (error)
                continue;                                             // ICMP of an earlier answer
            tasks.spawn(send_datagram(zone.answer(note({room.data(), got}), false), from));
        }
    }

    awaitable<void> send_datagram(TestZone::Reply reply, udp::endpoint to)
    {
        if (reply.delay.count() > 0)
            co_await sleep_for(reply.delay);
        if (!reply.message.empty())
            (void)co_await datagrams.async_send_to(asio::buffer(reply.message), to, asio::as_tuple(use_awaitable));
    }

    awaitable<void> serve_connections()
    {
        while (!co_await cancelled()) {
            auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(use_awaitable));
            if (!error)
                tasks.spawn(serve_connection(std::move(socket)));
        }
    }

    awaitable<void> serve_connection(tcp::socket socket)
    {
        while (!co_await cancelled()) {
            std::array<char, 2> size{};
            if (auto [error, got] = co_await asio::async_read(socket, asio::buffer(size), asio::as_tuple(use_awaitable)); error)
                co_return;
            std::string question(Reader({size.data(), 2}).u16(), '\0');
            if (auto [error, got] = co_await asio::async_read(socket, asio::buffer(question), asio::as_tuple(use_awaitable)); error)
                co_return;
            const auto reply = zone.answer(note(question), true);
            if (reply.delay.count() > 0)
                co_await sleep_for(reply.delay);
            if (reply.message.empty())
                co_return;
            std::string framed;
            put_u16(framed, static_cast<unsigned>(reply.message.size()));
            framed += reply.message;
            if (auto [error, sent] = co_await asio::async_write(socket, asio::buffer(framed), asio::as_tuple(use_awaitable)); error)
                co_return;
        }
    }

    Executor executor;
    TestZone zone;
    udp::socket datagrams;
    tcp::acceptor acceptor;
    std::map<std::string, int> asked;
    int all = 0;
    TaskGroup tasks;
};

TestServer::TestServer(Executor executor, std::string_view zone, std::uint16_t port) : core_(std::make_unique<Core>(std::move(executor), zone, port))
{
    core_->tasks.spawn(core_->serve_datagrams());
    core_->tasks.spawn(core_->serve_connections());
}

TestServer::~TestServer() = default;

net::Endpoint TestServer::endpoint() const { return {net::IpAddress::loopback(), core_->datagrams.local_endpoint().port()}; }

void TestServer::replace(std::string_view zone) { core_->zone = must_parse(zone); }

int TestServer::questions() const { return core_->all; }

int TestServer::questions(std::string_view name, Type type) const
{
    const auto found = core_->asked.find(plain(name) + '/' + std::string(type_name(type)));
    return found == core_->asked.end() ? 0 : found->second;
}

awaitable<void> TestServer::close() { co_await core_->tasks.close(); }

}  // namespace posthorn::dns
