"""How far can somebody who controls one listing move a ranking, what does that cost, and who is harmed?"""
