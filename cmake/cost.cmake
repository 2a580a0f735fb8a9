# posthorn_cost(TEST): ctest begins with the tests that take longest, so that no core idles at the end. Seconds in an asan build on two cores; where ctest
# has run before, it goes by what it measured itself.
set(POSTHORN_LONG_TESTS
    send 350  spool 146  compat_postmap 113  journey.real_peers 108  compat_tools 70  journey.verification 66  compat_proxy_filter 52  compat_restrictions 47
    journey.peers 42  compat_postconf 42  journey.migrate 40  compat_sites 34  journey.reload 32  journey.kill 31)

function(posthorn_cost TEST)
  list(FIND POSTHORN_LONG_TESTS ${TEST} at)
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET POSTHORN_LONG_TESTS ${at} seconds)
    set_tests_properties(${TEST} PROPERTIES COST ${seconds})
  endif()
endfunction()
