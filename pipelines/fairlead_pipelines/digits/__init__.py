"""Digits: which digit is written in this picture?"""
