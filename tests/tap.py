"""TAP for Python tests: run(globals()) calls every function named test_*, in order."""

import os


def run(names):
    """The exit code. A test fails by raising; the others still run."""
    tests = [(name, function) for name, function in names.items() if name.startswith("test_")]
    failed = 0
    for i, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {i} - {name}", flush=True)
        except Exception as error:  # whatever it is, it is this test's failure
            failed += 1
            trace = error.__traceback__
            while trace.tb_next:
                trace = trace.tb_next
            print(f"# {type(error).__name__} at line {trace.tb_lineno} of "
                  f"{os.path.basename(trace.tb_frame.f_code.co_filename)}: {error}")
            print(f"not ok {i} - {name}", flush=True)
    print(f"1..{len(tests)}")
    return 1 if failed else 0
