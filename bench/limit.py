class Limits:
    def __init__(self, options, scenarios):
        pass

    def seconds(self, scenario, mode):
        return None
