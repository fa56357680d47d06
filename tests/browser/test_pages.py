"""pages"""
def test_x(finished, folder, replay, launchpad_file, chromium):
    print(list(folder.iterdir()))
