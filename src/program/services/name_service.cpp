#include "services/name_service.hpp"

namespace posthorn::services {

namespace {

/// Absence is an answer; everything but found and absent is "try later".
Error unknown_now(const std::string& what, const std::string& reason)
{
    return Error{what + ": " + (reason.empty() ? "name service error" : reason), "4.4.3"};
}

}  // namespace

std::vector<std::string> name_service_files()
{
    return {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};
}

awaitable<Result<std::vector<std::string>>> ClientNames::names_of(std::string address)
{
    const auto ip = net::IpAddress::parse(address);
    if (!ip)
        co_return std::vector<std::string>{};
    const dns::Answer answer = co_await resolver_.names(*ip);
    if (answer.transient())
        co_return unknown_now(address, answer.reason);
    std::vector<std::string> names;
    for (const dns::Record& record : answer.records)
        names.push_back(record.host);
    co_return names;
}

awaitable<Result<std::vector<std::string>>> ClientNames::addresses_of(std::string name)
{
    const dns::Addresses answer = co_await resolver_.addresses(name);
    if (answer.status == dns::Status::temporary || answer.status == dns::Status::bogus)
        co_return unknown_now(name, answer.reason);
    std::vector<std::string> addresses;
    for (const net::IpAddress& address : answer.list)
        addresses.push_back(address.text());
    co_return addresses;
}

awaitable<Result<receive::MailHost>> ClientNames::mail_host(std::string domain)
{
    const dns::Answer mx = co_await resolver_.mx(domain);
    if (mx.transient())
        co_return unknown_now(domain, mx.reason);
    if (mx.status == dns::Status::found)
        co_return dns::is_null_mx(mx) ? receive::MailHost::null_mx : receive::MailHost::found;
    const dns::Addresses answer = co_await resolver_.addresses(domain);
    if (answer.status == dns::Status::temporary || answer.status == dns::Status::bogus)
        co_return unknown_now(domain, answer.reason);
    co_return answer.found() ? receive::MailHost::found : receive::MailHost::absent;
}

}  // namespace posthorn::services
